/** E4 to E6: the stream of Prefect's events as the bridge reads it; the test writes the events, as prefect_nats would. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tagsOf } from '../../src/bridge/key.ts';
import { type EventStream, type Observation, openEventStream } from '../../src/bridge/prefect/index.ts';
import { type NatsDoor, systemClock } from '../../src/drivers/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { type NatsKit, withNats } from '../kit/index.ts';

const STREAM = 'PREFECT_EVENTS';
const COUNT = 40;
const KEY = { workflow: 'report', runId: 'r1', step: 'compute', attempt: 1 };

let nats: NatsKit;
let door: NatsDoor;
const opened: EventStream[] = [];

beforeAll(async () => {
  nats = await withNats();
  door = await nats.door();
});

afterAll(async () => {
  await Promise.all(opened.map((stream) => stream.stop()));
  await nats?.stop();
});

async function publish(id: string): Promise<void> {
  const event = {
    id,
    event: 'prefect.flow-run.Running',
    occurred: '2026-01-01T00:00:00Z',
    resource: { 'prefect.resource.id': 'prefect.flow-run.f1', 'prefect.state-type': 'RUNNING' },
    related: tagsOf(KEY).map((tag) => ({
      'prefect.resource.id': `prefect.tag.${tag}`,
      'prefect.resource.role': 'tag',
    })),
  };
  await door.js.publish('prefect.flow-run.RUNNING._.f1', JSON.stringify(event), { msgID: id });
}

/** All that both readers hand on, until `enough` different events were. */
function reading(enough: number, failFirst: boolean) {
  const handed: string[] = [];
  const refused = new Set<string>();
  let done = (): void => undefined;
  const all = new Promise<void>((resolve) => (done = resolve));
  const open = (by: NatsDoor): void => {
    const stream = openEventStream({
      ...{ door: by, clock: systemClock, telemetry: noTelemetry },
      async onObservation({ eventId }: Observation) {
        if (failFirst && !refused.has(eventId)) {
          refused.add(eventId);
          throw new Error('the journal is away');
        }
        handed.push(eventId);
        if (new Set(handed).size === enough) done();
      },
    });
    opened.push(stream);
  };
  return { handed, all, open };
}

test('a stream that comes later is found; each event is for one of two readers, and one not handed on comes again', async () => {
  const readers = reading(COUNT, true);
  readers.open(door);
  readers.open(await nats.door('second'));
  await door.jsm.streams.add({ name: STREAM, subjects: ['prefect.flow-run.>'] });
  const ids = Array.from({ length: COUNT }, (_, n) => `e${n}`);
  for (const id of ids) await publish(id);
  await readers.all;
  expect([...readers.handed].sort()).toEqual([...ids].sort());
});

test('what is no event, or nobody’s of ours, keeps nothing from coming', async () => {
  await Promise.all(opened.splice(0).map((stream) => stream.stop()));
  const reader = reading(1, false);
  await door.js.publish('prefect.flow-run.RUNNING._.x', 'not JSON');
  await door.js.publish('prefect.flow-run.RUNNING._.x', '{"id":"strange"}');
  reader.open(door);
  await publish('after');
  await reader.all;
  expect(reader.handed).toEqual(['after']);
});

test('a stream that was deleted is found again', async () => {
  const reader = reading(1, false);
  await Promise.all(opened.splice(0).map((stream) => stream.stop()));
  reader.open(door);
  await door.jsm.streams.delete(STREAM);
  await door.jsm.streams.add({ name: STREAM, subjects: ['prefect.flow-run.>'] });
  await publish('anew');
  await reader.all;
  expect(reader.handed).toEqual(['anew']);
});
