/** Versions as tools print them. Pure. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Text after a dash (`rc.1`). A prerelease sorts before its release. */
  readonly pre: string;
}

const VERSION = /(?:^|[^\d.])v?(\d+)\.(\d+)(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?/;

/** The first version in a line such as `nats-server: v2.15.2` or `Redis server v=7.0.15 sha=…`. */
export function parseVersion(text: string): Version | undefined {
  const found = VERSION.exec(text);
  if (found === null) return undefined;
  return {
    major: Number(found[1]),
    minor: Number(found[2]),
    patch: Number(found[3] ?? 0),
    pre: found[4] ?? '',
  };
}

export function formatVersion(version: Version): string {
  const core = `${version.major}.${version.minor}.${version.patch}`;
  return version.pre === '' ? core : `${core}-${version.pre}`;
}

export function compareVersions(a: Version, b: Version): number {
  const byNumber = a.major - b.major || a.minor - b.minor || a.patch - b.patch;
  if (byNumber !== 0) return Math.sign(byNumber);
  if (a.pre === b.pre) return 0;
  if (a.pre === '') return 1;
  if (b.pre === '') return -1;
  return a.pre < b.pre ? -1 : 1;
}

/** True when `text` names a version that is at least `minimum`. Text without a version is never enough. */
export function isAtLeast(text: string, minimum: string): boolean {
  const version = parseVersion(text);
  const floor = parseVersion(minimum);
  return version !== undefined && floor !== undefined && compareVersions(version, floor) >= 0;
}
