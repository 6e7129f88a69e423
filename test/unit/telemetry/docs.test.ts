/** docs/telemetry.md lists every metric; it fails when it is stale. `UPDATE=1 npx vitest run test/unit/telemetry/docs.test.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { METRICS } from '../../../src/telemetry/index.ts';

const FILE = new URL('../../../docs/telemetry.md', import.meta.url);
const BEGIN = '<!-- metrics: begin (made by test/unit/telemetry/docs.test.ts with UPDATE=1) -->';
const END = '<!-- metrics: end -->';

const rows = Object.entries(METRICS).map(
  ([name, { kind, help, labels }]) => `| \`${name}\` | ${kind} | ${labels.join(', ')} | ${help} |`,
);
const table = ['| metric | kind | labels | what |', '|---|---|---|---|', ...rows].join('\n');

test('docs/telemetry.md lists every metric as it is', () => {
  const text = readFileSync(FILE, 'utf8');
  const [before = '', rest = ''] = text.split(BEGIN);
  const fresh = `${before}${BEGIN}\n${table}\n${END}${rest.split(END)[1] ?? ''}`;
  if (process.env['UPDATE'] === '1') writeFileSync(FILE, fresh);
  else expect(text, 'stale: run it again with UPDATE=1').toBe(fresh);
});
