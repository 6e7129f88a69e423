import type { Part, PartName, Progress } from './types.ts';

const TITLES: Readonly<Record<PartName, string>> = {
  nats: 'nats-server',
  redis: 'redis',
  prefect: 'prefect',
  jaeger: 'jaeger',
  chromium: 'chromium',
  postgres: 'postgres',
  natscli: 'nats bench',
  temporal: 'temporal',
};

const SOURCES = {
  path: 'on PATH',
  cached: 'cached',
  release: 'downloaded, checksum verified',
  go: 'built with Go',
  apt: 'installed from Debian',
  pip: 'installed from the lock file',
} as const;

export interface ProgressStyle {
  readonly write: (line: string) => void;
}

/** One line per part when it is settled, and one for each thing worth knowing before. */
export function printProgress(style: ProgressStyle): Progress {
  return {
    detail: (part, sentence) => style.write(`  ${TITLES[part].padEnd(12)} ${sentence}`),
    done: (part, seconds) => style.write(`${describe(part)}  ${seconds.toFixed(1)} s`),
  };
}

export function describe(part: Part): string {
  const title = TITLES[part.name].padEnd(12);
  if (part.status === 'unavailable') return `- ${title} unavailable: ${part.reason}`;
  return `✓ ${title} ${part.version.padEnd(10)} ${SOURCES[part.source]}`;
}
