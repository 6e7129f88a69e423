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

  it.each(['package-lock.json', 'bench/peers/package-lock.json'])(
    '%s is complete, which npm ci asks for, and names no host',
    (file) => {
      const text = readFileSync(file, 'utf8');
      expect(missingEntries(JSON.parse(text))).toEqual({});
      expect(text).not.toContain('"resolved"');
    },
  );
});
