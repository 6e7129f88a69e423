/** millrace_prefect: messages inside real flows on a real Prefect, with a controller of a small workflow beside them. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prefectPython, type ServerHandle, startPrefect } from '../../ops/stack/index.ts';
import { startController } from '../../src/engine/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { define, type NatsKit, PATIENT, withNats } from '../kit/index.ts';

const PREFECT_DIR = fileURLToPath(new URL('../../ops/prefect', import.meta.url));
const APPROVAL = define(
  'approval',
  [{ name: 'wait', needs: [], action: { kind: 'signal', name: 'go', onTimeout: 'fail' }, retry: PATIENT }],
  { output: '{"by": steps.wait.payload.by, "order": payload.order}' },
);

let dir: string;
let nats: NatsKit;
let prefect: ServerHandle;
let controller: Awaited<ReturnType<typeof startController>>;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-prefect-flows-'));
  nats = await withNats();
  prefect = await startPrefect({ dir: join(dir, 'prefect') });
  const definitions = await nats.prepare([APPROVAL]);
  const door = await nats.door('controller');
  await door.jsm.streams.add({ name: 'SHOP', subjects: ['shop.>'] });
  await door.jsm.streams.add({ name: 'STATES', subjects: ['states.>'] });
  controller = await startController({ door, definitions, telemetry: noTelemetry });
});

afterAll(async () => {
  await controller?.stop();
  await prefect?.stop();
  await nats?.stop();
  await rm(dir, { recursive: true, force: true });
});

test('flows and tasks publish, subscribe, wait, ask, and run workflows', async () => {
  const python = await prefectPython();
  const env = {
    ...process.env,
    ...prefect.env,
    PYTHONDONTWRITEBYTECODE: '1',
    PREFECT_LOGGING_LEVEL: 'ERROR',
    MILLRACE_NATS_URL: nats.url,
  };
  const args = ['-m', 'unittest', 'discover', '-s', 'tests_millrace_prefect', '-t', '.'];
  const output = await new Promise<string>((resolve, reject) => {
    execFile(python, args, { cwd: PREFECT_DIR, env, timeout: 115_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(stdout + stderr));
    });
  });
  expect(output).toMatch(/Ran [1-9]\d* tests in [\s\S]*OK/);
});
