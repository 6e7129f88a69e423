/** docs/manifests.md tells the truth: its examples are valid, its lists are complete. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fieldsAt, streamSchema, workflowSchema } from '../../../src/manifests/schema.ts';
import { found, HEAD } from './kit.ts';

const page = readFileSync('docs/manifests.md', 'utf8');
const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

describe('docs/manifests.md', () => {
  test('has examples without a problem', () => {
    expect(examples.length).toBeGreaterThanOrEqual(5);
    const orders = 'apiVersion: millrace/v1\nkind: Stream\nmetadata: {name: ORDERS}\nspec: {subjects: [orders.>]}\n';
    const children = ['invoice', 'survey'].map(
      (name) => `apiVersion: millrace/v1\nkind: Function\nmetadata: {name: ${name}}\nspec: {triggers: []}\n`,
    );
    expect(found(...examples, orders, ...children)).toEqual([]);
  });

  test('the examples of schedules.md are valid as well', () => {
    const yaml = [...readFileSync('docs/schedules.md', 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
      ([, text]) => text ?? '',
    );
    expect(yaml).toHaveLength(1);
    expect(found(...yaml)).toEqual([]);
  });

  test('names every field', () => {
    const paths: readonly (readonly PropertyKey[])[] = [
      ['spec'],
      ['spec', 'retention'],
      ['spec', 'triggers', 0],
      ['spec', 'schedules', 0],
      ['spec', 'schedules', 0, 'catchUp'],
      ['spec', 'triggers', 0, 'debounce'],
      ['spec', 'triggers', 0, 'batch'],
      ['spec', 'concurrency', 0],
      ['spec', 'rateLimit', 0],
      ['spec', 'singleton'],
      ['spec', 'queues', 'q'],
      ['spec', 'steps', 0],
      ['spec', 'steps', 0, 'run'],
      ['spec', 'steps', 0, 'waitForSignal'],
      ['spec', 'steps', 0, 'retry'],
      ['spec', 'steps', 0, 'forEach'],
      ['spec', 'steps', 0, 'compensate'],
      ['metadata'],
    ];
    const fields = [...fieldsAt(streamSchema, ['spec']), ...paths.flatMap((path) => fieldsAt(workflowSchema, path))];
    expect(fields.length).toBeGreaterThan(30);
    expect(fields.filter((field) => !new RegExp(`\\b${field}\\b`).test(page))).toEqual([]);
  });

  test('names every rule that the table of bad manifests and the plan tests know', () => {
    const tests = ['bad-manifests', 'bad-schedules', 'plan', 'deployments'].map((name) =>
      readFileSync(`test/unit/manifests/${name}.test.ts`, 'utf8'),
    );
    const rules = tests.flatMap((text) =>
      [...text.matchAll(/(?:error|warning|note) MR_[A-Z_]+ ([a-z-]+) /g)].map((match) => match[1] ?? ''),
    );
    expect(new Set(rules).size).toBeGreaterThan(25);
    expect([...new Set(rules)].filter((rule) => !page.includes(`\`${rule}\``))).toEqual([]);
  });

  test('shows a problem as it is printed', () => {
    expect(found(`${HEAD}  steps:\n    - name: a\n      sleep: 1s\n      tiemout: 5s\n`)).toEqual([
      'error MR_MANIFEST_INVALID unknown-field 8:7 spec.steps[0].tiemout',
    ]);
    expect(page).toContain('orders.yaml:8:7 spec.steps[0].tiemout');
  });
});
