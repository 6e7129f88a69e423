/** docs/cli.md holds the help of every command; it fails when it is stale. `UPDATE=1 npx vitest run test/unit/cli/docs.test.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { fakeCli } from './kit.ts';

const FILE = new URL('../../../docs/cli.md', import.meta.url);
const BEGIN = '<!-- help: begin (made by test/unit/cli/docs.test.ts with UPDATE=1) -->';
const END = '<!-- help: end -->';

interface Page {
  readonly path: string;
  readonly help: string;
}

function helpOf(command: Command): string {
  const chunks: string[] = [];
  command.configureOutput({ ...command.configureOutput(), writeOut: (text) => void chunks.push(text) });
  command.outputHelp();
  return chunks.join('').trimEnd();
}

function pagesOf(command: Command, path: readonly string[] = []): Page[] {
  const own = [...path, command.name()];
  return [{ path: own.join(' '), help: helpOf(command) }, ...command.commands.flatMap((child) => pagesOf(child, own))];
}

const pages = pagesOf(fakeCli().program);
const section = pages.map(({ path, help }) => `### ${path}\n\n\`\`\`text\n${help}\n\`\`\``).join('\n\n');

test('docs/cli.md shows the help as it is', () => {
  const text = readFileSync(FILE, 'utf8');
  const [before = '', rest = ''] = text.split(BEGIN);
  const after = rest.split(END)[1] ?? '';
  const fresh = `${before}${BEGIN}\n\n${section}\n\n${END}${after}`;
  if (process.env['UPDATE'] === '1') writeFileSync(FILE, fresh);
  else expect(text, 'stale: run it again with UPDATE=1').toBe(fresh);
});

test('every command says what it does, and each that does something gives an example', () => {
  for (const { path, help } of pages) {
    const description = help.split('\n')[2] ?? '';
    expect(description, path).toMatch(/^\w/);
    const isGroup = help.includes('\nCommands:');
    if (!isGroup) expect(help, path).toContain('$ millrace ');
  }
});
