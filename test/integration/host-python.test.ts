/** The flow host's own unit tests, and those of the demo's flows: Python's `unittest`, run with the provisioned Python. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { prefectPython } from '../../ops/stack/index.ts';

const PREFECT_DIR = fileURLToPath(new URL('../../ops/prefect', import.meta.url));

test('the Python side passes its unit tests', async () => {
  const python = await prefectPython();
  const args = ['-m', 'unittest', 'discover', '-s', 'tests', '-t', '.'];
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', DO_NOT_TRACK: '1' };
  const output = await new Promise<string>((resolve, reject) => {
    execFile(python, args, { cwd: PREFECT_DIR, env, timeout: 100_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(stdout + stderr));
    });
  });
  expect(output).toMatch(/Ran [1-9]\d* tests in [\s\S]*OK/);
});
