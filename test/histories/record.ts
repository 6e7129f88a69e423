/**
 * Records the histories of the stories below that are not recorded yet: `npx tsx test/histories/record.ts`.
 * It never overwrites one: a recorded history is a contract (README.md).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Definition, InputBody, StepDefinition } from '../../src/engine/index.ts';
import { HISTORIES, historyOf } from '../kit/history.ts';
import {
  began,
  cancelled,
  failed,
  fired,
  flow,
  flowState,
  retried,
  Story,
  signalled,
  started,
  succeeded,
} from '../kit/spec.ts';
import { ROOT } from '../kit/tidy/index.ts';
import { define, workerStep } from '../kit/workflows.ts';

const retry = { initialMs: 500, factor: 2, maxMs: 10_000, jitter: 0.2, maxAttempts: 3, maxLost: 2 };
const source = {
  stream: 'FLIGHTS',
  sequence: 12,
  subject: 'flights.day.2001-01-12',
  trigger: 'day',
  storedAt: 1_700_000_000_000,
};
const step = (name: string, needs: string[], more: Partial<StepDefinition>): StepDefinition =>
  workerStep(name, needs, { retry, ...more });

const report = define(
  'delay-report',
  [
    step('validate', [], {
      action: { kind: 'worker', handler: 'flights.validate', queue: 'default' },
      timeoutMs: 30_000,
    }),
    step('compute', ['validate'], {
      action: { kind: 'prefect', deployment: 'delay-report/main', pool: 'default' },
      timeoutMs: 300_000,
      with: { flights: 'steps.validate.rows', day: 'payload.day' },
    }),
    step('store', ['compute'], { action: { kind: 'worker', handler: 'reports.store', queue: 'default' } }),
  ],
  { deadLetter: true, timeoutMs: 900_000 },
);

const undo = (handler: string) => ({ handler, queue: 'default', retry });
const saga = define(
  'saga',
  [
    step('reserve', [], { compensate: undo('release') }),
    step('charge', ['reserve'], {
      compensate: undo('refund'),
      retry: { ...retry, maxAttempts: 1, onExhausted: 'pause' },
    }),
    step('ship', ['charge'], {}),
  ],
  { output: '{"seat": steps.reserve}' },
);

const alert = define('quake-alert', [
  step('notify', [], { action: { kind: 'worker', handler: 'quakes.notify', queue: 'default' } }),
  step('settle', ['notify'], { action: { kind: 'sleep', ms: 2_000 } }),
  step('assess', ['settle'], { action: { kind: 'prefect', deployment: 'quake-alert/main', pool: 'default' } }),
  step('confirm', ['assess'], {
    action: { kind: 'signal', name: 'confirmed', timeoutMs: 60_000, onTimeout: 'continue' },
  }),
  step('publish', ['confirm'], { when: 'steps.confirm.received' }),
  step('withdraw', ['confirm'], { when: '!steps.confirm.received' }),
]);

const validated = succeeded('validate', 1, { rows: 221 });
const day = started({ day: '2001-01-12' }, { source });
const flows = (name: string, attempt: number, ...types: Parameters<typeof flowState>[0][]): InputBody[] =>
  types.map((type, i) =>
    flow(name, attempt, flowState(type, 100 * attempt + i), type === 'COMPLETED' ? { result: { ok: true } } : {}),
  );
const alerted = [
  started({ magnitude: 5.6 }),
  failed('notify', 1),
  fired('retry/notify/1'),
  failed('notify', 2),
  fired('retry/notify/2'),
  succeeded('notify', 3),
  fired('sleep/settle/1'),
];

const STORIES: Readonly<Record<string, readonly [string, Definition, readonly InputBody[]]>> = {
  'report-completed': [
    'worker, Prefect flow, worker; reports of three sources come double',
    report,
    [
      day,
      began('validate', 1),
      validated,
      ...flows('compute', 1, 'PENDING', 'RUNNING', 'RUNNING', 'COMPLETED', 'COMPLETED'),
      succeeded('store', 1, 'delays/2001-01-12'),
    ],
  ],
  'report-malformed': [
    'a failure that no attempt can help ends the run and keeps its message',
    report,
    [
      day,
      failed('validate', 1, { code: 'MR_INPUT_INVALID', message: 'row 3: delay is not a number', retryable: false }),
      validated,
    ],
  ],
  'report-host-crashed': [
    'a crashed flow host is a lost attempt; the next one has another flow run',
    report,
    [
      day,
      validated,
      ...flows('compute', 1, 'RUNNING', 'CRASHED'),
      fired('retry/compute/1'),
      ...flows('compute', 2, 'RUNNING', 'COMPLETED'),
      succeeded('store', 1),
    ],
  ],
  'report-cancelled-in-prefect': [
    'a flow run cancelled in Prefect cancels the run; retried by hand it completes',
    report,
    [
      day,
      validated,
      ...flows('compute', 1, 'RUNNING', 'CANCELLED'),
      retried(),
      ...flows('compute', 2, 'COMPLETED'),
      succeeded('store', 1),
    ],
  ],
  'report-run-timeout': [
    'the limit of the run ends an attempt that is out',
    report,
    [day, validated, fired('run/0'), succeeded('store', 1)],
  ],
  'report-step-timeout': [
    'the limit of an attempt stops the flow run and counts as a failure',
    report,
    [
      day,
      validated,
      ...flows('compute', 1, 'RUNNING'),
      fired('timeout/compute/1'),
      ...flows('compute', 1, 'CANCELLED'),
      fired('retry/compute/1'),
      ...flows('compute', 2, 'COMPLETED'),
      succeeded('store', 1),
    ],
  ],
  'alert-confirmed': [
    'two failures, a sleep, a signal that came before its step waited',
    alert,
    [
      ...alerted,
      signalled('confirmed', { by: 'desk' }),
      ...flows('assess', 1, 'RUNNING', 'COMPLETED'),
      succeeded('publish', 1),
    ],
  ],
  'alert-withdrawn': [
    'the signal did not come in time: the other branch',
    alert,
    [
      ...alerted,
      ...flows('assess', 1, 'COMPLETED'),
      fired('signal/confirm/1'),
      signalled('confirmed'),
      succeeded('withdraw', 1),
    ],
  ],
  'alert-cancelled-retried': [
    'cancelled in the middle of a sleep, retried by hand, then failed for good and retried again',
    alert,
    [
      started({ magnitude: 6 }),
      succeeded('notify', 1),
      cancelled('drill'),
      fired('sleep/settle/1'),
      retried(),
      fired('sleep/settle/2'),
      failed('assess', 1, { code: 'MR_STEP_EXHAUSTED', retryable: false }),
      signalled('confirmed', 1),
      retried(),
      ...flows('assess', 2, 'COMPLETED'),
      succeeded('publish', 1),
    ],
  ],
  'saga-undone': [
    'a step that fails for good: what was done is undone, the last first, then the run has failed',
    saga,
    [
      started({ n: 1 }),
      succeeded('reserve', 1, { seat: 7 }),
      succeeded('charge', 1, { payment: 'p' }),
      failed('ship', 1, { retryable: false }),
      succeeded('undo:charge', 1),
      succeeded('undo:reserve', 1),
    ],
  ],
  'saga-paused-resumed': [
    'a step whose attempts are used up pauses; resumed it completes, and so does the run',
    saga,
    [
      started({ n: 1 }),
      succeeded('reserve', 1),
      failed('charge', 1, { message: 'no money' }),
      { v: 1, kind: 'resume', by: 'ada' },
      succeeded('charge', 2),
      succeeded('ship', 1),
    ],
  ],
  'saga-killed': [
    'a kill ends the run at once and undoes nothing',
    saga,
    [started({ n: 1 }), succeeded('reserve', 1), { v: 1, kind: 'kill', reason: 'stop', by: 'ada' }],
  ],
};

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
for (const [name, [about, definition, inputs]] of Object.entries(STORIES)) {
  const file = join(HISTORIES, `${name}.json`);
  if (existsSync(file)) continue;
  const story = new Story(definition);
  for (const body of inputs) story.feed(body);
  writeFileSync(file, `${JSON.stringify(historyOf(about, version, story), null, 1)}\n`);
  console.log(`recorded ${name}: ${story.entries.length} entries, the run is ${story.state.status}`);
}
