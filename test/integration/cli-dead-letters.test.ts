/** `millrace dead-letters` on a real server. */
import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type NatsKit, withNats } from '../kit/index.ts';
import { type CliResult, runCli } from '../kit/system.ts';

let nats: NatsKit;
const cli = (...args: readonly string[]): Promise<CliResult> => runCli(args, { MILLRACE_NATS_URL: nats.url });

const letterSchema = z
  .object({
    seq: z.number(),
    at: z.number(),
    kind: z.string(),
    workflow: z.string(),
    code: z.string(),
    reason: z.string(),
    bytes: z.number(),
    origin: z.object({ stream: z.string(), sequence: z.number(), subject: z.string() }),
  })
  .loose();

async function data<T>(schema: z.ZodType<T>, ...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await cli(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return schema.parse(JSON.parse(stdout));
}

/** A letter as the engine writes it (docs/protocol.md). */
async function letter(
  workflow: string,
  sequence: number,
  message: string | Uint8Array,
  kind = 'trigger',
): Promise<void> {
  const door = await nats.door();
  const h = headers();
  h.set('Millrace-Code', 'MR_NOT_JSON');
  h.set('Millrace-Reason', 'it is not JSON');
  h.set('Millrace-Origin-Stream', 'QUAKES');
  h.set('Millrace-Origin-Sequence', String(sequence));
  h.set('Millrace-Origin-Subject', 'quakes.reported');
  h.set('Source', 'usgs');
  if (kind === 'run') h.set('Millrace-Run', `m${sequence}`);
  await door.js.publish(`dead.${kind}.${workflow}.m${sequence}`, message, { headers: h });
}

beforeAll(async () => {
  nats = await withNats();
  await nats.prepare([]);
  const door = await nats.door();
  await door.jsm.streams.add({ name: 'QUAKES', subjects: ['quakes.>'] });
  await letter('alert', 7, 'magnitude five');
  await letter('alert', 8, '{"mag":5.4}');
  await letter('report', 9, new Uint8Array([255, 254]));
});
afterAll(() => nats?.stop());

describe('dead-letters', () => {
  test('list: newest first, by kind and workflow', async () => {
    const all = await data(z.array(letterSchema), 'dead-letters', 'list');
    expect(all.map(({ seq, workflow, bytes }) => [seq, workflow, bytes])).toEqual([
      [3, 'report', 2],
      [2, 'alert', 11],
      [1, 'alert', 14],
    ]);
    expect(await data(z.array(letterSchema), 'dead-letters', 'list', '-k', 'run')).toEqual([]);
    expect(await data(z.array(letterSchema), 'dead-letters', 'list', '-w', 'alert', '-n', '1')).toHaveLength(1);
    expect((await cli('dead-letters', 'list')).stdout).toMatch(
      /\n2 +\S+ \S+ +trigger +alert +MR_NOT_JSON +it is not JSON\n/,
    );
  });

  test('show: the message as what it is', async () => {
    expect(await data(letterSchema, 'dead-letters', 'show', '2')).toMatchObject({
      payload: { mag: 5.4 },
      headers: { Source: 'usgs' },
      origin: { stream: 'QUAKES', sequence: 8, subject: 'quakes.reported' },
    });
    expect(await data(letterSchema, 'dead-letters', 'show', '1')).toMatchObject({ text: 'magnitude five' });
    expect(await data(letterSchema, 'dead-letters', 'show', '3')).toMatchObject({ base64: '//4=' });
    expect((await cli('dead-letters', 'show', '1')).stdout).toContain('\nmagnitude five\n');
    const none = await cli('dead-letters', 'show', '99');
    expect(none).toMatchObject({ code: 1, stdout: '' });
    expect(none.stderr).toContain('there is no dead letter 99');
  });

  test('redeliver: back to where it came from, and the letter is gone', async () => {
    const schema = z.array(
      z.object({ letter: z.number(), subject: z.string(), stream: z.string(), sequence: z.number() }),
    );
    expect(await data(schema, 'dead-letters', 'redeliver', '2')).toEqual([
      { letter: 2, subject: 'quakes.reported', stream: 'QUAKES', sequence: 1 },
    ]);
    const door = await nats.door();
    const message = await door.jsm.streams.getMessage('QUAKES', { seq: 1 });
    expect([message?.json(), message?.header.get('Source')]).toEqual([{ mag: 5.4 }, 'usgs']);
    expect(message?.header.get('Millrace-Redelivered-From')).not.toBe('');
    expect(await cli('dead-letters', 'redeliver', '2')).toMatchObject({ code: 1 });
    expect(await cli('dead-letters', 'redeliver')).toMatchObject({ code: 2 });
    const rest = await data(schema, 'dead-letters', 'redeliver', '--all', '--workflow', 'alert');
    expect(rest.map(({ letter: seq }) => seq)).toEqual([1]);
  });

  test('show: of a long message the beginning, all of it with --json', async () => {
    const rows = Array.from({ length: 100 }, (_, row) => row);
    await letter('alert', 10, JSON.stringify(rows));
    const { stdout, stderr } = await cli('dead-letters', 'show', '4');
    expect(stdout).toContain('\n[\n  0,\n');
    expect(stdout).toMatch(/\n {2}38,\n$/);
    expect(stderr).toBe('62 lines more; --json prints all\n');
    expect(await data(letterSchema, 'dead-letters', 'show', '4')).toMatchObject({ payload: rows });
    await cli('dead-letters', 'redeliver', '4');
  });

  test('redeliver: of a run that is there, what goes on instead', async () => {
    await letter('alert', 11, '{"mag":6}', 'run');
    const { code, stdout, stderr } = await cli('dead-letters', 'redeliver', '5');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'letter 5 is message 4 of QUAKES on quakes.reported\n' });
    expect(stderr).toContain('`millrace runs retry m11`');
  });

  test('purge: only when it is meant', async () => {
    expect(await cli('dead-letters', 'purge')).toMatchObject({ code: 2 });
    expect(await data(z.object({ purged: z.number() }), 'dead-letters', 'purge', '--yes')).toEqual({ purged: 1 });
    expect((await cli('dead-letters', 'list')).stdout).toBe('no dead letters\n');
  });
});
