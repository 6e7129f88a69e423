/** One variable, read the same by the settings and by whatever connects without them. */
import { expect, test } from 'vitest';
import { connectNats } from '../../../src/drivers/index.ts';
import { groupCommitOf } from '../../../src/kernel/index.ts';

test.each([
  [{}, 'auto'],
  [{ MILLRACE_GROUP_COMMIT: ' ' }, 'auto'],
  [{ MILLRACE_GROUP_COMMIT: ' never ' }, 'never'],
  [{ MILLRACE_GROUP_COMMIT: 'always' }, 'always'],
])('%j means %s', (env, mode) => {
  expect(groupCommitOf(env)).toBe(mode);
});

test('another value is refused before anything connects, by the name of the variable', async () => {
  process.env['MILLRACE_GROUP_COMMIT'] = 'sometimes';
  try {
    await expect(connectNats({ url: 'nats://127.0.0.1:1', name: 'test' })).rejects.toMatchObject({
      code: 'MR_CONFIG',
      place: { path: 'MILLRACE_GROUP_COMMIT' },
      message: 'MILLRACE_GROUP_COMMIT: expected one of auto, always, never',
    });
  } finally {
    delete process.env['MILLRACE_GROUP_COMMIT'];
  }
});
