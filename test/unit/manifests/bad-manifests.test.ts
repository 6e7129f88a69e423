/** Every way to get a manifest wrong: the exact code, rule, line, column and path. The good twin of each is at the end. */
import { describe, expect, test } from 'vitest';
import { found, HEAD, STREAM } from './kit.ts';

const OK_STEP = '  steps: [{name: a, sleep: 1s}]\n';

interface Case {
  readonly name: string;
  readonly text: string;
  readonly problems: readonly string[];
}

const DOCUMENTS: readonly Case[] = [
  {
    name: 'YAML that does not parse',
    text: 'spec:\n  steps: [{name: a\n',
    problems: ['error MR_MANIFEST_SYNTAX syntax 3:1', 'error MR_MANIFEST_SYNTAX syntax 3:1'],
  },
  {
    name: 'a key twice',
    text: `${HEAD}  timeout: 1s\n  timeout: 2s\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_SYNTAX syntax 6:3'],
  },
  {
    name: 'an alias without its anchor',
    text: `${HEAD}  timeout: *nope\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_SYNTAX syntax 5:12'],
  },
  {
    name: 'an expression that YAML takes for a tag',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s}\n    - {name: b, needs: [a], when: !steps.a, sleep: 1s}\n`,
    problems: ['error MR_MANIFEST_SYNTAX syntax 7:35'],
  },
  { name: 'a list', text: '- a\n', problems: ['error MR_MANIFEST_INVALID type 1:1'] },
  {
    name: 'no apiVersion',
    text: 'kind: Stream\n',
    problems: ['error MR_MANIFEST_INVALID api-version 1:1 apiVersion'],
  },
  {
    name: 'another apiVersion, in the second document',
    text: `${STREAM}  subjects: [a]\n---\napiVersion: v2\nkind: Stream\n`,
    problems: ['error MR_MANIFEST_INVALID api-version 7:13 apiVersion'],
  },
  {
    name: 'an unknown kind',
    text: 'apiVersion: millrace/v1\nkind: Worklfow\n',
    problems: ['error MR_MANIFEST_INVALID kind 2:7 kind'],
  },
];

const FIELDS: readonly Case[] = [
  {
    name: 'an unknown field at the top',
    text: `${HEAD}${OK_STEP}status: {}\n`,
    problems: ['error MR_MANIFEST_INVALID unknown-field 6:1 status'],
  },
  {
    name: 'an unknown field in a step',
    text: `${HEAD}  steps:\n    - name: a\n      sleep: 1s\n      tiemout: 5s\n`,
    problems: ['error MR_MANIFEST_INVALID unknown-field 8:7 spec.steps[0].tiemout'],
  },
  {
    name: 'a missing name',
    text: 'apiVersion: millrace/v1\nkind: Stream\nmetadata: {}\nspec: {subjects: [a]}\n',
    problems: ['error MR_MANIFEST_INVALID required 3:1 metadata.name'],
  },
  {
    name: 'a durable function with steps',
    text: `apiVersion: millrace/v1\nkind: Function\nmetadata: {name: w}\nspec:\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID unknown-field 5:3 spec.steps'],
  },
  {
    name: 'no steps',
    text: `${HEAD}  timeout: 1s\n`,
    problems: ['error MR_MANIFEST_INVALID required 4:1 spec.steps'],
  },
  {
    name: 'an empty list of steps',
    text: `${HEAD}  steps: []\n`,
    problems: ['error MR_MANIFEST_INVALID value 5:10 spec.steps'],
  },
  {
    name: 'a wrong type',
    text: `${HEAD}  deadLetter: maybe\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID type 5:15 spec.deadLetter'],
  },
  {
    name: 'a number for a duration',
    text: `${HEAD}  timeout: 30\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID duration 5:12 spec.timeout'],
  },
  {
    name: 'a bad duration',
    text: `${HEAD}  steps: [{name: a, sleep: 2 seconds}]\n`,
    problems: ['error MR_MANIFEST_INVALID duration 5:28 spec.steps[0].sleep'],
  },
  {
    name: 'a name that is no token',
    text: `${HEAD}  steps: [{name: a.b, sleep: 1s}]\n`,
    problems: ['error MR_MANIFEST_INVALID name 5:18 spec.steps[0].name'],
  },
  {
    name: 'attempts below one and jitter above one',
    text: `${HEAD}  steps: [{name: a, run: {worker: h}, retry: {maxAttempts: 0, jitter: 2}}]\n`,
    problems: [
      'error MR_MANIFEST_INVALID value 5:60 spec.steps[0].retry.maxAttempts',
      'error MR_MANIFEST_INVALID value 5:71 spec.steps[0].retry.jitter',
    ],
  },
  {
    name: 'a deployment without a slash',
    text: `${HEAD}  steps: [{name: a, run: {prefect: main}, timeout: 1s}]\n`,
    problems: ['error MR_MANIFEST_INVALID deployment 5:36 spec.steps[0].run.prefect'],
  },
  {
    name: 'a constant where an expression goes',
    text: `${HEAD}  steps: [{name: a, run: {worker: h}, with: {n: 5}}]\n`,
    problems: ['error MR_MANIFEST_INVALID expression 5:49 spec.steps[0].with.n'],
  },
  {
    name: 'a bad size, a bad subject, too many replicas and an unknown retention, all at once',
    text: `${STREAM}  subjects: [a.>.b]\n  maxBytes: 5 apples\n  replicas: 9\n  retention: forever\n`,
    problems: [
      'error MR_MANIFEST_INVALID subject 5:14 spec.subjects[0]',
      'error MR_MANIFEST_INVALID size 6:13 spec.maxBytes',
      'error MR_MANIFEST_INVALID value 7:13 spec.replicas',
      'error MR_MANIFEST_INVALID value 8:14 spec.retention',
    ],
  },
];

const STEPS: readonly Case[] = [
  {
    name: 'two steps of one name',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s}\n    - {name: a, sleep: 1s}\n`,
    problems: ['error MR_MANIFEST_INVALID duplicate-name 7:14 spec.steps[1].name'],
  },
  {
    name: 'a need that is no step',
    text: `${HEAD}  steps: [{name: a, sleep: 1s, needs: [b]}]\n`,
    problems: ['error MR_MANIFEST_INVALID unknown-need 5:40 spec.steps[0].needs[0]'],
  },
  {
    name: 'a need twice',
    text: `${HEAD}  steps: [{name: a, sleep: 1s}, {name: b, sleep: 1s, needs: [a, a]}]\n`,
    problems: ['error MR_MANIFEST_INVALID duplicate-name 5:65 spec.steps[1].needs[1]'],
  },
  {
    name: 'a step that needs itself',
    text: `${HEAD}  steps: [{name: a, sleep: 1s, needs: [a]}]\n`,
    problems: ['error MR_MANIFEST_CYCLE cycle 5:40 spec.steps[0].needs[0]'],
  },
  {
    name: 'a circle',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s, needs: [b]}\n    - {name: b, sleep: 1s, needs: [c]}\n    - {name: c, sleep: 1s, needs: [a]}\n`,
    problems: ['error MR_MANIFEST_CYCLE cycle 6:36 spec.steps[0].needs[0]'],
  },
  {
    name: 'no action',
    text: `${HEAD}  steps: [{name: a}]\n`,
    problems: ['error MR_MANIFEST_INVALID one-action 5:11 spec.steps[0]'],
  },
  {
    name: 'two actions',
    text: `${HEAD}  steps: [{name: a, sleep: 1s, run: {worker: h}}]\n`,
    problems: ['error MR_MANIFEST_INVALID one-action 5:21 spec.steps[0].sleep'],
  },
  {
    name: 'a worker and a flow in one run, and a run of nothing',
    text: `${HEAD}  steps:\n    - {name: a, run: {worker: h, prefect: f/d}, timeout: 1s}\n    - {name: b, run: {}}\n`,
    problems: [
      'error MR_MANIFEST_INVALID one-action 6:17 spec.steps[0].run',
      'error MR_MANIFEST_INVALID one-action 7:17 spec.steps[1].run',
    ],
  },
  {
    name: 'a queue for a flow, a pool for a worker',
    text: `${HEAD}  steps:\n    - {name: a, run: {prefect: f/d, queue: q}, timeout: 1s}\n    - {name: b, run: {worker: h, pool: p}}\n`,
    problems: [
      'error MR_MANIFEST_INVALID one-action 6:37 spec.steps[0].run.queue',
      'error MR_MANIFEST_INVALID one-action 7:34 spec.steps[1].run.pool',
    ],
  },
  {
    name: 'settings of a child run for a worker, a queue for a child run, an end that concerns nobody',
    text: `${HEAD}  steps:\n    - {name: a, run: {worker: h, wait: false}}\n    - {name: b, run: {workflow: w, queue: q}}\n    - {name: c, run: {workflow: w, wait: false, onParentClose: cancel}}\n`,
    problems: [
      'error MR_MANIFEST_INVALID one-action 6:34 spec.steps[0].run.wait',
      'error MR_MANIFEST_INVALID one-action 7:36 spec.steps[1].run.queue',
      'warning MR_MANIFEST_INVALID no-effect 8:49 spec.steps[2].run.onParentClose',
    ],
  },
  {
    name: 'a list of a step that sleeps, an item where there is none, a list from a step that is not needed',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s, forEach: {items: payload.x}}\n    - {name: b, run: {worker: h}, with: {x: item}}\n    - {name: c, run: {worker: i}, forEach: {items: steps.b.list}, when: index < 5, with: {x: item}}\n`,
    problems: [
      'warning MR_MANIFEST_INVALID no-effect 6:28 spec.steps[0].forEach',
      'error MR_EXPRESSION expression 7:45 spec.steps[1].with.x',
      'error MR_EXPRESSION expression-step 8:52 spec.steps[2].forEach.items',
    ],
  },
  {
    name: 'a child run of a workflow that nothing defines (a warning)',
    text: `${HEAD}  steps: [{name: a, run: {workflow: nobody}}]\n`,
    problems: ['warning MR_MANIFEST_INVALID child-workflow 5:37 spec.steps[0].run.workflow'],
  },
  {
    name: 'a flow without a timeout (a note)',
    text: `${HEAD}  steps: [{name: a, run: {prefect: f/d}}]\n`,
    problems: ['note MR_MANIFEST_INVALID missing-timeout 5:21 spec.steps[0].run'],
  },
  {
    name: 'settings without effect (warnings)',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s, timeout: 1s, with: {x: payload}}\n    - {name: b, waitForSignal: {name: s, onTimeout: fail}}\n`,
    problems: [
      'warning MR_MANIFEST_INVALID no-effect 6:28 spec.steps[0].timeout',
      'warning MR_MANIFEST_INVALID no-effect 6:41 spec.steps[0].with',
      'warning MR_MANIFEST_INVALID no-effect 7:42 spec.steps[1].waitForSignal.onTimeout',
    ],
  },
  {
    name: 'a longest wait below the first',
    text: `${HEAD}  steps: [{name: a, run: {worker: h}, retry: {initial: 2m}}]\n`,
    problems: ['error MR_MANIFEST_INVALID retry-order 5:39 spec.steps[0].retry'],
  },
  {
    name: 'settings of work on steps that do none (warnings)',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s, queueTimeout: 1s, heartbeatTimeout: 1s, compensate: {run: {worker: u}}}\n    - {name: b, run: {prefect: f/d}, timeout: 5m, heartbeatTimeout: 1s}\n    - {name: c, run: {workflow: w}, queueTimeout: 1s, heartbeatTimeout: 1s}\n`,
    problems: [
      'warning MR_MANIFEST_INVALID no-effect 6:28 spec.steps[0].queueTimeout',
      'warning MR_MANIFEST_INVALID no-effect 6:46 spec.steps[0].heartbeatTimeout',
      'warning MR_MANIFEST_INVALID no-effect 6:68 spec.steps[0].compensate',
      'warning MR_MANIFEST_INVALID no-effect 7:51 spec.steps[1].heartbeatTimeout',
      'warning MR_MANIFEST_INVALID no-effect 8:37 spec.steps[2].queueTimeout',
      'warning MR_MANIFEST_INVALID no-effect 8:55 spec.steps[2].heartbeatTimeout',
    ],
  },
  {
    name: 'a silence longer than the whole attempt (warning)',
    text: `${HEAD}  steps: [{name: a, run: {worker: h}, timeout: 1m, heartbeatTimeout: 60s}]\n`,
    problems: ['warning MR_MANIFEST_INVALID heartbeat-order 5:52 spec.steps[0].heartbeatTimeout'],
  },
  {
    name: 'a policy that neither fails nor pauses, and a compensation without a worker',
    text: `${HEAD}  steps: [{name: a, run: {worker: h}, retry: {onExhausted: wait, nonRetryable: []}, compensate: {run: {}}}]\n`,
    problems: [
      'error MR_MANIFEST_INVALID value 5:60 spec.steps[0].retry.onExhausted',
      'error MR_MANIFEST_INVALID value 5:80 spec.steps[0].retry.nonRetryable',
      'error MR_MANIFEST_INVALID required 5:98 spec.steps[0].compensate.run.worker',
    ],
  },
  {
    name: 'a compensation with a longest wait below the first',
    text: `${HEAD}  steps: [{name: a, run: {worker: h}, compensate: {run: {worker: u}, retry: {initial: 2m}}}]\n`,
    problems: ['error MR_MANIFEST_INVALID retry-order 5:70 spec.steps[0].compensate.retry'],
  },
  {
    name: 'a compensation whose handler becomes the subject of another',
    text: `${HEAD}  steps: [{name: a, run: {worker: x.y}, compensate: {run: {worker: x-y}}}]\n`,
    problems: ['error MR_MANIFEST_INVALID handler-collision 5:68 spec.steps[0].compensate.run.worker'],
  },
  {
    name: 'handlers that become one subject',
    text: `${HEAD}  steps: [{name: a, run: {worker: x.y}}, {name: b, run: {worker: x-y}}]\n`,
    problems: ['error MR_MANIFEST_INVALID handler-collision 5:66 spec.steps[1].run.worker'],
  },
];

const EXPRESSIONS: readonly Case[] = [
  {
    name: 'a compensation that reads a step which need not have ended',
    text: `${HEAD}  steps:\n    - {name: a, run: {worker: h}, compensate: {run: {worker: u}, with: {x: steps.a, y: steps.b}}}\n    - {name: b, needs: [a], run: {worker: h}}\n`,
    problems: ['error MR_EXPRESSION expression-step 6:88 spec.steps[0].compensate.with.y'],
  },
  {
    name: 'an output that reads a step which does not exist',
    text: `${HEAD}  output: steps.a.x + steps.c\n  steps: [{name: a, run: {worker: h}}]\n`,
    problems: ['error MR_EXPRESSION expression-step 5:11 spec.output'],
  },
  {
    name: 'an expression that does not parse',
    text: `${HEAD}  steps: [{name: a, sleep: 1s, when: "payload.n >="}]\n`,
    problems: ['error MR_EXPRESSION expression 5:38 spec.steps[0].when'],
  },
  {
    name: 'an unknown variable',
    text: `${HEAD}  steps: [{name: a, sleep: 1s, when: nope.n > 1}]\n`,
    problems: ['error MR_EXPRESSION expression 5:38 spec.steps[0].when'],
  },
  {
    name: 'a trigger that reads steps, and a step that reads headers',
    text: `${HEAD}  triggers: [{name: t, stream: MR_EVENTS, subject: evt.run.x.*.failed, key: steps.a}]\n  steps: [{name: a, run: {worker: h}, with: {h: headers.x}}]\n`,
    problems: [
      'error MR_EXPRESSION expression 5:77 spec.triggers[0].key',
      'error MR_EXPRESSION expression 6:49 spec.steps[0].with.h',
    ],
  },
  {
    name: 'a step that is not among the needs',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s}\n    - {name: b, sleep: 1s, when: steps.a == null}\n`,
    problems: ['error MR_EXPRESSION expression-step 7:34 spec.steps[1].when'],
  },
  {
    name: 'a step that is not there',
    text: `${HEAD}  steps:\n    - {name: a, sleep: 1s}\n    - {name: b, needs: [a], run: {worker: h}, with: {x: steps.aa}}\n`,
    problems: ['error MR_EXPRESSION expression-step 7:57 spec.steps[1].with.x'],
  },
];

const ACROSS: readonly Case[] = [
  {
    name: 'a manifest twice',
    text: `${STREAM}  subjects: [a]\n---\n${STREAM}  subjects: [b]\n`,
    problems: ['error MR_MANIFEST_INVALID duplicate-name 9:18 metadata.name'],
  },
  {
    name: 'two triggers of one name',
    text: `${HEAD}  triggers:\n    - {name: t, stream: MR_DEAD, subject: dead.run.>}\n    - {name: t, stream: MR_DEAD, subject: dead.task.>}\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID duplicate-name 7:14 spec.triggers[1].name'],
  },
  {
    name: 'a trigger on a stream nobody describes (a warning)',
    text: `${HEAD}  triggers: [{name: t, stream: NOPE, subject: a}]\n${OK_STEP}`,
    problems: ['warning MR_MANIFEST_INVALID trigger-stream 5:32 spec.triggers[0].stream'],
  },
  {
    name: "a trigger on one of Millrace's queues",
    text: `${HEAD}  triggers: [{name: t, stream: MR_TASKS, subject: task.a.b}]\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID trigger-stream 5:32 spec.triggers[0].stream'],
  },
  {
    name: 'a trigger wider than its stream',
    text: `${STREAM}  subjects: [a.b.*]\n---\n${HEAD}  triggers: [{name: t, stream: S, subject: a.>}]\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID trigger-subject 11:44 spec.triggers[0].subject'],
  },
  {
    name: 'two triggers that share the messages of a work queue',
    text: `${STREAM}  subjects: [a.*]\n  retention: workqueue\n---\n${HEAD}  triggers: [{name: t, stream: S, subject: a.*}, {name: u, stream: S, subject: a.b}]\n${OK_STEP}`,
    problems: ['error MR_MANIFEST_INVALID workqueue-overlap 12:80 spec.triggers[1].subject'],
  },
  {
    name: 'streams whose subjects overlap',
    text: `${STREAM}  subjects: [a.*]\n---\n${STREAM.replace('name: S', 'name: T')}  subjects: [a.b]\n`,
    problems: ['error MR_MANIFEST_INVALID subject-overlap 11:14 spec.subjects[0]'],
  },
  {
    name: 'a stream whose own subjects overlap',
    text: `${STREAM}  subjects: [a.>, a.b]\n`,
    problems: ['error MR_MANIFEST_INVALID subject-overlap 5:19 spec.subjects[1]'],
  },
  {
    name: 'reserved names and subjects',
    text: `${STREAM.replace('name: S', 'name: MR_S')}  subjects: [evt.mine, ">"]\n`,
    problems: [
      'error MR_MANIFEST_INVALID reserved-name 3:18 metadata.name',
      'error MR_MANIFEST_INVALID reserved-subject 5:14 spec.subjects[0]',
      'error MR_MANIFEST_INVALID reserved-subject 5:24 spec.subjects[1]',
      'error MR_MANIFEST_INVALID subject-overlap 5:24 spec.subjects[1]',
    ],
  },
  {
    name: 'a duplicate window longer than the age',
    text: `${STREAM}  subjects: [a]\n  maxAge: 1m\n  duplicateWindow: 2m\n`,
    problems: ['error MR_MANIFEST_INVALID duplicate-window 7:20 spec.duplicateWindow'],
  },
  {
    name: 'an even number of replicas (a warning)',
    text: `${STREAM}  subjects: [a]\n  replicas: 2\n`,
    problems: ['warning MR_MANIFEST_INVALID even-replicas 6:13 spec.replicas'],
  },
];

const check = ({ text, problems }: Case): void => expect(found(text)).toEqual(problems);

describe('documents', () => test.each(DOCUMENTS)('$name', check));
describe('fields', () => test.each(FIELDS)('$name', check));
describe('steps', () => test.each(STEPS)('$name', check));
describe('expressions', () => test.each(EXPRESSIONS)('$name', check));
describe('one against another', () => test.each(ACROSS)('$name', check));

test('the good twin: what all of these are variations of has no problem', () => {
  const stream = `${STREAM}  subjects: [a.*]\n  maxAge: 1h\n  duplicateWindow: 2m\n  replicas: 3\n`;
  const workflow = `${HEAD}  timeout: 1h
  triggers: [{name: t, stream: S, subject: a.b, when: payload.n > 1, key: headers.id}]
  steps:
    - {name: a, run: {worker: x.y, queue: q}, retry: {maxAttempts: 1, initial: 10ms, max: 1s}}
    - {name: b, needs: [a], run: {prefect: f/d, pool: p}, timeout: 1m, with: {x: steps.a.x + 1}}
    - {name: c-d, needs: [b], sleep: 1s, when: steps.a.x > 0}
    - {name: e, needs: [c-d], waitForSignal: {name: s, timeout: 1m, onTimeout: continue}}
    - {name: f, needs: [e], when: '!steps.e.received && steps["c-d"] == null', run: {worker: x.z}}
`;
  expect(found(`${stream}---\n${workflow}`)).toEqual([]);
});
