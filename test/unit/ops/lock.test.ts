import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { completeLock, missingEntries } from '../../../ops/lock.ts';

const lock = {
  packages: {
    '': {},
    'node_modules/tool': {
      version: '2.0.0',
      dev: true,
      optionalDependencies: { '@tool/cli-linux-x64': '2.0.0', '@tool/cli-darwin-arm64': '2.0.0', fsevents: '~2.3.3' },
    },
    'node_modules/@tool/cli-linux-x64': { version: '2.0.0', optional: true },
  },
};

describe('the lock file', () => {
  it('gets an entry for each platform package that the registry did not have', () => {
    expect(missingEntries(lock)).toEqual({
      'node_modules/@tool/cli-darwin-arm64': {
        version: '2.0.0',
        cpu: ['arm64'],
        dev: true,
        optional: true,
        os: ['darwin'],
      },
    });
    expect(missingEntries(completeLock(lock))).toEqual({});
  });

  it('of this repository is complete: npm ci refuses one that is not', () => {
    expect(missingEntries(JSON.parse(readFileSync('package-lock.json', 'utf8')))).toEqual({});
  });
});
