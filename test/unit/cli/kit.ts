/** The command line without a process: buffers instead of streams, a context that the test fills. */
import type { Command } from 'commander';
import { type CliContext, createOutput, createProgram, type Output, runProgram } from '../../../src/cli/index.ts';
import { MillraceError } from '../../../src/kernel/index.ts';

export interface FakeCli {
  readonly ctx: CliContext;
  readonly program: Command;
  readonly stdout: string[];
  readonly stderr: string[];
  readonly out: Output;
  code: number;
  run(...argv: readonly string[]): Promise<void>;
}

export function fakeCli(
  options: { readonly json?: boolean; readonly isTTY?: boolean; readonly color?: boolean } = {},
): FakeCli {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const stream = (into: string[]) => ({ write: (text: string) => void into.push(text), isTTY: options.isTTY === true });
  const out = createOutput({
    stdout: stream(stdout),
    stderr: stream(stderr),
    color: options.color === true,
    json: options.json === true,
  });
  const absent = async (): Promise<never> => {
    throw new MillraceError('MR_INTERNAL', 'this test opened no such part');
  };
  const fake: FakeCli = {
    out,
    stdout,
    stderr,
    code: 0,
    ctx: {
      out,
      signal: new AbortController().signal,
      settings: () => ({
        natsUrl: 'nats://x',
        httpPort: 0,
        logLevel: 'info',
        pool: 'default',
        groupCommit: 'auto',
        prefectEvents: 'socket',
      }),
      exit: (code) => void (fake.code = code),
      read: async (argument) => argument,
      write: absent,
      door: absent,
      definitions: absent,
      journal: absent,
      deadLetters: absent,
      lines: absent,
      limits: absent,
      sleep: absent,
      reader: absent,
      prefect: absent,
      runController: absent,
      now: () => 0,
      newId: () => 'id',
      by: 'test',
    },
    get program() {
      return program;
    },
    run: (...argv) => runProgram(program, argv),
  };
  const program = createProgram(fake.ctx, '1.2.3', {
    out: (text) => void stdout.push(text),
    err: (text) => void stderr.push(text),
  });
  return fake;
}
