/**
 * The one way a command speaks: results on stdout, remarks and errors on stderr.
 *
 * Boundary: it writes to the streams it is given and to nothing else. With `--json` stdout carries exactly one JSON
 * document per command and remarks fall silent, so that a pipe into `jq` always works.
 */
import { type Colors, createColors } from './colors.ts';
import { renderTable } from './format-table.ts';

/** What an output needs of a stream; `process.stdout` and a test's buffer both do. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface OutputOptions {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** Colours are asked for: neither NO_COLOR nor --no-color. */
  readonly color: boolean;
  readonly json: boolean;
}

export interface Progress {
  /** Redraws the line; `done` of `total`. */
  tick(done: number, total: number): void;
  /** Removes the line. */
  end(): void;
}

export interface Output {
  /** `--json` was given: say it with {@link Output.data}. */
  readonly json: boolean;
  /** Colour functions; they do nothing when stdout is no terminal or colours are not wanted. */
  readonly c: Colors;
  readonly isTerminal: boolean;
  /** A line of the result, on stdout. */
  line(text?: string): void;
  /** A remark for people, on stderr; silent under --json. */
  note(text: string): void;
  /** The result as one JSON document, on stdout. */
  data(value: unknown): void;
  /** The result either way: `value` under --json, else whatever `human` prints. */
  result(value: unknown, human: () => void): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  /** A progress line on stderr; silent when it is no terminal. */
  progress(label: string): Progress;
}

const BAR = 24;

function progressOn(stream: TextStream, label: string, silent: boolean): Progress {
  if (silent || stream.isTTY !== true) return { tick() {}, end() {} };
  return {
    tick(done, total) {
      const filled = total === 0 ? BAR : Math.round((BAR * done) / total);
      stream.write(`\r${label} [${'='.repeat(filled)}${' '.repeat(BAR - filled)}] ${done}/${total}\u001b[K`);
    },
    end: () => void stream.write('\r\u001b[K'),
  };
}

/** An output over two streams. */
export function createOutput(options: OutputOptions): Output {
  const { stdout, stderr, json } = options;
  const isTerminal = stdout.isTTY === true;
  const c = createColors(options.color && isTerminal && !json);
  const line = (text = ''): void => void stdout.write(`${text}\n`);
  return {
    json,
    c,
    isTerminal,
    line,
    note: (text) => void (json || stderr.write(`${text}\n`)),
    data: (value) => line(JSON.stringify(value, null, 2)),
    result(value, human) {
      if (json) line(JSON.stringify(value, null, 2));
      else human();
    },
    table: (head, rows) => line(renderTable(head, rows, c)),
    progress: (label) => progressOn(stderr, label, json),
  };
}
