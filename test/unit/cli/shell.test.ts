import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { completionScript, SHELLS } from '../../../src/cli/completion.ts';
import { createOutput, EXIT, errorData, errorText, exitCodeOf } from '../../../src/cli/index.ts';
import { readJson } from '../../../src/cli/options.ts';
import { MillraceError } from '../../../src/kernel/index.ts';
import { fakeCli } from './kit.ts';

describe('errors', () => {
  test.each([
    ['MR_USAGE', EXIT.usage],
    ['MR_CONFIG', EXIT.usage],
    ['MR_NATS_AUTH', EXIT.usage],
    ['MR_NATS_UNREACHABLE', EXIT.unreachable],
    ['MR_REDIS_UNREACHABLE', EXIT.unreachable],
    ['MR_PREFECT_UNREACHABLE', EXIT.unreachable],
    ['MR_RUN_MISSING', EXIT.failed],
    ['MR_REPLAY_DIVERGED', EXIT.failed],
    ['MR_MANIFEST_INVALID', EXIT.failed],
  ] as const)('%s exits %i', (code, exit) => {
    expect(exitCodeOf(new MillraceError(code, 'x'))).toBe(exit);
  });

  test('what is no error of ours is a bug and says so', () => {
    expect(exitCodeOf(new TypeError('x'))).toBe(EXIT.failed);
    expect(errorData(new TypeError('x is not a function'))).toMatchObject({
      error: { code: 'MR_INTERNAL', message: 'x is not a function', hint: expect.stringContaining('bug') },
    });
  });

  test('are told with place and hint', () => {
    const error = new MillraceError('MR_MANIFEST_INVALID', 'unknown field "nead"', {
      place: { file: 'a.yaml', line: 3, column: 5, path: 'spec.steps[0]' },
      hint: 'did you mean needs?',
    });
    const { c } = fakeCli().out;
    expect(errorText(error, c)).toBe(
      'error unknown field "nead" (MR_MANIFEST_INVALID)\n  at   a.yaml:3:5 spec.steps[0]\n  hint did you mean needs?',
    );
    expect(errorData(error)).toEqual({
      error: {
        code: 'MR_MANIFEST_INVALID',
        message: 'unknown field "nead"',
        next: 'terminal',
        hint: 'did you mean needs?',
        place: { file: 'a.yaml', line: 3, column: 5, path: 'spec.steps[0]' },
      },
    });
  });
});

describe('output', () => {
  const chunks: string[] = [];
  const stream = { write: (text: string) => void chunks.push(text), isTTY: true };

  test('colours a terminal only when they are wanted, and never JSON', () => {
    const make = (color: boolean, json: boolean, isTTY = true) =>
      createOutput({ stdout: { ...stream, isTTY }, stderr: stream, color, json }).c.red('x');
    expect(make(true, false)).toBe('\u001b[31mx\u001b[39m');
    expect(make(false, false)).toBe('x');
    expect(make(true, true)).toBe('x');
    expect(make(true, false, false)).toBe('x');
  });

  test('--json: one document on stdout, silence beside it', () => {
    const { out, stdout, stderr } = fakeCli({ json: true, isTTY: true });
    out.note('by the way');
    out.progress('working').tick(1, 2);
    out.result({ n: 1 }, () => out.line('for people'));
    expect([stdout.join(''), stderr.join('')]).toEqual(['{\n  "n": 1\n}\n', '']);
  });

  test('tables are aligned and carry no trailing blanks', () => {
    const { out, stdout } = fakeCli();
    out.table(
      ['A', 'LONG'],
      [
        ['1', ''],
        ['22', 'x'],
      ],
    );
    expect(stdout.join('')).toBe('A   LONG\n1\n22  x\n');
  });

  test('a progress line is drawn on a terminal and taken away', () => {
    const { out, stderr } = fakeCli({ isTTY: true });
    const progress = out.progress('replaying');
    progress.tick(1, 2);
    progress.end();
    expect(stderr).toEqual(['\rreplaying [============            ] 1/2\u001b[K', '\r\u001b[K']);
  });
});

describe('parsing', () => {
  test.each([
    [['rusn'], /unknown command 'rusn' \(Did you mean runs\?\)/, '`millrace --help`'],
    [['runs', 'shwo'], /unknown command 'shwo' \(Did you mean show\?\)/, '`millrace runs --help`'],
    [
      ['runs', 'list', '--stats', 'x'],
      /unknown option '--stats' \(Did you mean --status\?\)/,
      '`millrace runs list --help`',
    ],
    [['runs', 'list', '--limit', '1.5'], /must be a whole number from 0 on/, '`millrace runs list --help`'],
    [
      ['runs', 'list', '--status', 'odd'],
      /Allowed choices are running, queued, completed/,
      '`millrace runs list --help`',
    ],
    [['runs', 'show'], /missing required argument 'run'/, '`millrace runs show --help`'],
    [['runs'], /"millrace runs" needs a command/, '`millrace runs --help`'],
    [['completion', 'csh'], /Allowed choices are bash, zsh, fish/, '`millrace completion --help`'],
  ])('%j is MR_USAGE with a way out', async (argv, message, see) => {
    const error = await fakeCli()
      .run(...argv)
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    expect(error).toMatchObject({ code: 'MR_USAGE', hint: `see ${see}` });
    expect(String(error)).toMatch(message);
  });

  test('help and version are no errors', async () => {
    const cli = fakeCli();
    await cli.run('--version');
    await cli.run('runs', '--help');
    expect(cli.stdout[0]).toBe('1.2.3\n');
    expect(cli.stdout.join('')).toContain('history [options] <run>');
  });

  test('a payload that is not JSON says how to write it', async () => {
    const { ctx } = fakeCli();
    await expect(readJson(ctx, '{a:1}', 'payload')).rejects.toMatchObject({
      code: 'MR_NOT_JSON',
      message: expect.stringContaining('the payload is not JSON'),
      hint: expect.stringContaining('@payload.json'),
    });
    expect((await readJson(ctx, '{"a":1}', 'payload')).value).toEqual({ a: 1 });
  });
});

describe('completion', () => {
  const { program } = fakeCli();
  test.each(SHELLS)('%s knows every command', (shell) => {
    const script = completionScript(program, shell);
    for (const command of program.commands) expect(script).toContain(command.name());
    expect(script).toContain('history');
  });

  test('bash completes commands, subcommands, options and choices', () => {
    const script = completionScript(program, 'bash');
    const complete = (...words: string[]): string[] => {
      const line = words.map((word) => `'${word}'`).join(' ');
      const run = `${script}\nCOMP_WORDS=(millrace ${line}); COMP_CWORD=${words.length}; _millrace; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', run], { encoding: 'utf8' }).trim().split('\n');
    };
    expect(complete('rep')).toEqual(['replay']);
    expect(complete('runs', 'hi')).toEqual(['history']);
    expect(complete('runs', 'list', '--st')).toEqual(['--status']);
    expect(complete('completion', 'z')).toEqual(['zsh']);
  });
});
