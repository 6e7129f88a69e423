/** What tests inherit from the shell that runs them: vitest.config.ts decides it, before the first test. */
import { afterEach, expect, test } from 'vitest';

const CACHE = process.env['MILLRACE_CACHE'];

afterEach(() => {
  if (CACHE === undefined) delete process.env['MILLRACE_CACHE'];
  else process.env['MILLRACE_CACHE'] = CACHE;
});

test('settings of the shell do not reach the tests, except where the cache is', async () => {
  process.env['MILLRACE_PREFECT_URL'] = 'http://127.0.0.1:1/api';
  process.env['MILLRACE_NATS_PORT'] = '4222';
  process.env['MILLRACE_CACHE'] = 'kept';
  await import('../../vitest.config.ts');
  expect(Object.keys(process.env).filter((name) => name.startsWith('MILLRACE_'))).toEqual(['MILLRACE_CACHE']);
});
