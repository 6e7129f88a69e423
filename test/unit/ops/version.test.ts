import { describe, expect, it } from 'vitest';
import { compareVersions, formatVersion, isAtLeast, parseVersion } from '../../../ops/lib/version.ts';
import { readToolVersion } from '../../../ops/provision/gobinary.ts';
import { isUsable } from '../../../ops/provision/prefect.ts';

describe('parseVersion', () => {
  it.each([
    ['nats-server: v2.15.2', '2.15.2'],
    ['nats-server: v2.14.6-RC.1', '2.14.6-RC.1'],
    ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', '7.0.15'],
    ['Python 3.13.0rc1', '3.13.0'],
    ['Chromium 156.0.8078.73 built on Debian', '156.0.8078'],
    ['3.12', '3.12.0'],
  ])('reads %s', (line, expected) => {
    const version = parseVersion(line);
    expect(version === undefined ? undefined : formatVersion(version)).toBe(expected);
  });

  it.each(['', 'no version here', 'build 7'])('finds none in "%s"', (line) => {
    expect(parseVersion(line)).toBeUndefined();
  });
});

describe('isAtLeast', () => {
  it.each([
    ['2.14.6', '2.14.6', true],
    ['2.15.0', '2.14.6', true],
    ['10.0.0', '9.9.9', true],
    ['2.14.5', '2.14.6', false],
    ['2.9.10', '2.14.6', false],
    ['2.14.6-RC.1', '2.14.6', false],
    ['garbage', '2.14.6', false],
  ])('%s against %s is %s', (version, minimum, expected) => {
    expect(isAtLeast(version, minimum)).toBe(expected);
  });

  it('orders a prerelease before its release and both ways round', () => {
    const pre = { major: 1, minor: 0, patch: 0, pre: 'rc.1' };
    const release = { ...pre, pre: '' };
    expect([compareVersions(pre, release), compareVersions(release, pre), compareVersions(pre, pre)]).toEqual([
      -1, 1, 0,
    ]);
  });
});

describe('readToolVersion', () => {
  it('is not taken in by the dates and links around the version', () => {
    const warning = 'will reach end-of-life on December 31st, 2025. See https://example.test/1.2.3';
    expect(readToolVersion(`${warning}\n{"gitCommit":"abc","gitVersion":"v1.76.0","buildDate":"2025-12-03"}`)).toBe(
      '1.76.0',
    );
    expect(readToolVersion(warning)).toBeUndefined();
  });

  it('reads nats-server -v', () => {
    expect(readToolVersion('nats-server: v2.15.2\n')).toBe('2.15.2');
  });

  it('reads the tools of the benchmarks', () => {
    expect(readToolVersion('v0.5.1\n')).toBe('0.5.1');
    expect(readToolVersion('0.5.1\n')).toBe('0.5.1');
    expect(readToolVersion('temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)\n')).toBe('1.5.1');
    expect(readToolVersion('development\n')).toBeUndefined();
  });
});

describe('the Python for Prefect', () => {
  it.each([
    ['3.10.13', false],
    ['3.11.0', true],
    ['3.14.9', true],
    ['3.15.0', false],
  ])('%s is usable: %s', (version, usable) => {
    expect(isUsable(version)).toBe(usable);
  });
});
