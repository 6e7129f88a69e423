/** What people read: messages and hints say what is expected and what to do. */
import { describe, expect, test } from 'vitest';
import { formatProblem } from '../../../src/manifests/index.ts';
import { check, HEAD, STREAM } from './kit.ts';

function printed(text: string): readonly string[] {
  return check(text).problems.map((problem) => formatProblem(problem, text));
}

describe('formatProblem', () => {
  test('names file, line, column and path, shows the line with a caret, and says what to do', () => {
    expect(printed(`${HEAD}  steps:\n    - name: a\n      sleep: 1s\n      tiemout: 5s\n`)).toEqual([
      `m.yaml:8:7 spec.steps[0].tiemout
  error: unknown field "tiemout" in spec.steps[0] (MR_MANIFEST_INVALID, unknown-field)
    |
  8 |       tiemout: 5s
    |       ^^^^^^^
  hint: did you mean "timeout"? fields: name, needs, when, with, run, sleep, waitForSignal, retry, timeout, queueTimeout, heartbeatTimeout, compensate, forEach`,
    ]);
  });

  test('does without the text', () => {
    const [problem] = check('kind: Stream\n').problems;
    expect(problem && formatProblem(problem)).toBe(
      'm.yaml:1:1 apiVersion\n  error: apiVersion is missing (MR_MANIFEST_INVALID, api-version)\n  hint: write apiVersion: millrace/v1',
    );
  });

  test('shows the way round a circle', () => {
    const steps = '  steps:\n    - {name: a, sleep: 1s, needs: [b]}\n    - {name: b, sleep: 1s, needs: [a]}\n';
    expect(check(`${HEAD}${steps}`).problems.map(({ message }) => message)).toEqual([
      'the needs go round in a circle: a → b → a',
    ]);
  });

  test.each([
    ['the minus in a name', 'steps.c-d', '"-" is minus in CEL; write steps["c-d"]'],
    ['a step that is not needed', 'steps.other', 'add "other" to the needs of "e": only then has it ended'],
    ['a misspelt step', 'steps.othr', 'steps that "e" needs: c-d'],
    [
      'an unknown variable',
      'x',
      'variables here: payload, steps, run; text needs quotes of its own, for example \'"text"\'',
    ],
  ])('hints at %s', (_, expression, hint) => {
    const steps = `  steps: [{name: c-d, sleep: 1s}, {name: other, sleep: 1s}, {name: e, needs: [c-d], sleep: 1s, when: ${expression} == 1}]\n`;
    expect(check(`${HEAD}${steps}`).problems.map((problem) => problem.hint)).toEqual([hint]);
  });
});

describe('one mistake gives one problem', () => {
  test('a misspelt needs does not make its expressions wrong', () => {
    const steps =
      '  steps:\n    - {name: a, sleep: 1s}\n    - {name: b, nees: [a], sleep: 1s, when: steps.a == null}\n';
    expect(check(`${HEAD}${steps}`).problems.map(({ rule }) => rule)).toEqual(['unknown-field']);
  });

  test('but a mistake elsewhere in the same document is found too', () => {
    const steps = '  steps:\n    - {name: a, sleep: 2 s}\n    - {name: b, needs: [c], sleep: 1s}\n';
    expect(check(`${HEAD}${steps}`).problems.map(({ rule }) => rule)).toEqual(['duration', 'unknown-need']);
  });

  test('a stream that cannot be read is still known to its triggers', () => {
    const workflow = `${HEAD}  triggers: [{name: t, stream: S, subject: a}]\n  steps: [{name: a, sleep: 1s}]\n`;
    expect(check(`${STREAM}  subjects: 5\n---\n${workflow}`).problems.map(({ rule }) => rule)).toEqual(['type']);
  });

  test('a manifest with an error gives no definitions at all', () => {
    const good = `${STREAM}  subjects: [a]\n`;
    expect(check(good).streams).toHaveLength(1);
    expect(check(good, 'kind: nope\n')).toMatchObject({ streams: [], definitions: [], documents: 2 });
  });
});
