/** The checks' negative twins: a world is tampered with, and each check must say so. */
import { describe, expect, test } from 'vitest';
import { define, workerStep } from '../kit/workflows.ts';
import { check } from './check.ts';
import { simulate } from './simulate.ts';
import { WORKFLOW, type World } from './world.ts';

const definition = define('sim', [
  workerStep('a'),
  { ...workerStep('f', ['a']), action: { kind: 'prefect', deployment: 'f/d', pool: 'p' } },
]);
const calm = (): Promise<World> => simulate({ seed: 7, storm: 0, definition });
const logOf = (world: World) => world.broker.stream(WORKFLOW).logs.get('r1') ?? [];

describe('a world that was tampered with', () => {
  test('is good before', async () => {
    expect(check(await calm())).toEqual([]);
  });

  const tampering: readonly [string, RegExp, (world: World) => unknown][] = [
    ['an entry lost', /means .* the log has \[\]/, (w) => logOf(w).splice(1, 1)],
    [
      'an entry out of nothing',
      /entries without an input/,
      (w) => logOf(w).push({ seq: 999, text: '{"v":1,"cause":998,"at":1,"transitions":[]}' }),
    ],
    ['an entry twice', /two entries/, (w) => logOf(w).push({ seq: 999, text: logOf(w).at(-1)?.text ?? '' })],
    ['an end lost', /is stuck/, (w) => logOf(w).pop()],
    ['an event lost', /never published/, (w) => w.receivers.events.delete([...w.receivers.events][0] ?? '')],
    ['an event too many', /follows from nothing/, (w) => w.receivers.events.add('evt:r1:1:1')],
    [
      'a task that nobody asked for',
      /is not what the log says/,
      (w) => {
        const [task] = w.receivers.handedOut;
        if (task !== undefined) w.receivers.handedOut.push({ ...task, command: { ...task.command, attempt: 9 } });
      },
    ],
    ['a dead letter out of nothing', /dead letter out of nothing/, (w) => w.receivers.deadRuns.add('r1')],
    ['an input never acknowledged', /never acknowledged/, (w) => w.send('r1', { v: 1, kind: 'retry' })],
    [
      'a flow run that disagrees',
      /the log says/,
      (w) => {
        for (const flow of w.prefect.flows.values()) flow.state = { ...flow.state, type: 'CRASHED' };
      },
    ],
    ['a span twice', /once too often/, (w) => w.spans.push(...w.spans)],
    ['a handler that threw', /handler threw/, (w) => w.surprises.push(new Error('boom'))],
  ];

  test.each(tampering)('%s is found', async (_, finding, tamper) => {
    const world = await calm();
    await tamper(world);
    expect(check(world).join('\n')).toMatch(finding);
  });
});
