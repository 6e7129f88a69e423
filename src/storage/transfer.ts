/**
 * A run as a file: one JSON document a line, the head first, then its inputs and log entries in the order of the stream. Pure.
 *
 * ```
 * {"millrace":"run","format":1,"workflow":"order","runId":"7k2p…","status":"completed","inputs":2,"entries":2,"definitions":[…]}
 * {"input":11,"at":1700000000000,"body":{"v":1,"kind":"start",…}}
 * {"entry":12,"v":1,"cause":11,"at":1700000000000,"transitions":[…]}
 * ```
 */
import { z } from 'zod';
import {
  type Definition,
  fold,
  isEnded,
  jsonSchema,
  type LogEntry,
  type OriginalInput,
  originalInput,
  type RunRef,
  type RunStatus,
  readable,
  type StoredEntry,
  type StoredInput,
  storedEntry,
} from '../engine/index.ts';
import { HEADERS, MillraceError, messageOf } from '../kernel/index.ts';

export const EXPORT_FORMAT = 1;

/** A run as it was somewhere else. */
export interface ExportedRun extends RunRef {
  readonly status: RunStatus;
  readonly definitions: readonly Definition[];
  readonly inputs: readonly (OriginalInput & { readonly seq: number })[];
  readonly entries: readonly StoredEntry[];
}

const headSchema = z.object({
  millrace: z.literal('run'),
  format: z.number(),
  workflow: z.string(),
  runId: z.string(),
  status: z.string(),
  inputs: z.number().int().nonnegative(),
  entries: z.number().int().nonnegative(),
  definitions: z.array(z.record(z.string(), z.unknown())),
});

const inputSchema = z.strictObject({
  input: z.number().int().positive(),
  at: z.number(),
  body: jsonSchema.optional(),
  base64: z.string().optional(),
  msgId: z.string().optional(),
});

const entrySchema = z.looseObject({ entry: z.number().int().positive(), cause: z.number().int().positive() });

/** The lines of a run's export. */
export function exportRun(
  run: RunRef,
  definitions: readonly Definition[],
  inputs: readonly StoredInput[],
  entries: readonly StoredEntry[],
): readonly string[] {
  const { status } = fold(run.workflow, run.runId, entries);
  const originals = inputs.map(originalInput);
  const runId = originals[0]?.originalRunId ?? run.runId;
  const head = {
    ...{ millrace: 'run', format: EXPORT_FORMAT, workflow: run.workflow, runId, status },
    ...{ inputs: inputs.length, entries: entries.length, definitions },
  };
  const lines = [
    ...originals.map(({ seq, at, data, headers }) => {
      const msgId = headers[HEADERS.msgId];
      return { seq, line: { input: seq, at, ...readable(data), ...(msgId === undefined ? {} : { msgId }) } };
    }),
    ...entries.map(({ seq, ...entry }) => ({ seq, line: { entry: seq, ...entry } })),
  ];
  lines.sort((a, b) => a.seq - b.seq);
  return [JSON.stringify(head), ...lines.map(({ line }) => JSON.stringify(line))];
}

/** Reads an export line by line. */
class Reading {
  readonly #file: string;
  readonly inputs: (OriginalInput & { readonly seq: number })[] = [];
  readonly entries: StoredEntry[] = [];
  readonly #known = new Set<number>();
  #last = 0;

  constructor(file: string) {
    this.#file = file;
  }

  problem(line: number, message: string, cause?: unknown): MillraceError {
    return new MillraceError('MR_INPUT_INVALID', message, {
      hint: 'a file that `millrace runs export` wrote is imported as it is; export the run again',
      place: { file: this.#file, line },
      cause,
    });
  }

  json(text: string, line: number): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.problem(line, `the line is not JSON: ${messageOf(error)}`, error);
    }
  }

  /** @throws MillraceError MR_INPUT_INVALID with file and line */
  head(text: string | undefined): z.infer<typeof headSchema> {
    const parsed = headSchema.safeParse(this.json(text ?? '', 1));
    if (!parsed.success) throw this.problem(1, `this is no export of a run: ${parsed.error.issues[0]?.message ?? ''}`);
    if (parsed.data.format === EXPORT_FORMAT) return parsed.data;
    throw this.problem(1, `the export has format ${parsed.data.format}; this Millrace reads format ${EXPORT_FORMAT}`);
  }

  line(text: string, line: number, runId: string): void {
    const value = this.json(text, line);
    const input = inputSchema.safeParse(value);
    if (input.success) {
      const { input: seq, at, body, base64, msgId } = input.data;
      this.#inOrder(seq, line);
      if ((body === undefined) === (base64 === undefined)) {
        throw this.problem(line, `input ${seq} has neither a body nor bytes, or both`);
      }
      this.#known.add(seq);
      this.inputs.push({
        ...{ seq, at, runId },
        ...(body === undefined ? {} : { body }),
        ...(base64 === undefined ? {} : { base64 }),
        ...(msgId === undefined ? {} : { msgId }),
      });
      return;
    }
    const entry = entrySchema.safeParse(value);
    if (!entry.success) throw this.problem(line, 'the line is neither an input nor a log entry');
    const { entry: seq, ...rest } = entry.data;
    this.#inOrder(seq, line);
    if (!this.#known.has(rest.cause))
      throw this.problem(line, `entry ${seq} names input ${rest.cause}, which is not above it`);
    try {
      this.entries.push(storedEntry(rest, seq));
    } catch (error) {
      throw this.problem(line, messageOf(error), error);
    }
  }

  #inOrder(seq: number, line: number): void {
    if (seq <= this.#last) throw this.problem(line, `sequence ${seq} does not come after ${this.#last}`);
    this.#last = seq;
  }
}

/**
 * Reads an export.
 * @param file names it for errors
 * @throws MillraceError MR_INPUT_INVALID with file and line; MR_RUN_STATE for a run that had not ended
 */
export function parseExport(text: string, file: string): ExportedRun {
  const lines = text.split('\n');
  while (lines.at(-1)?.trim() === '') lines.pop();
  const reading = new Reading(file);
  const { workflow, runId, inputs, entries, definitions } = reading.head(lines[0]);
  for (const [index, line] of lines.entries()) if (index > 0) reading.line(line, index + 1, runId);
  const found = [reading.inputs.length, reading.entries.length];
  if (found[0] !== inputs || found[1] !== entries) {
    const counts = `${found[0]} inputs and ${found[1]} entries`;
    throw reading.problem(
      lines.length,
      `the head speaks of ${inputs} inputs and ${entries} entries, here are ${counts}`,
    );
  }
  const state = fold(workflow, runId, reading.entries);
  if (!isEnded(state)) {
    throw new MillraceError('MR_RUN_STATE', `run ${runId} was ${state.status} when it was exported`, {
      hint: 'only ended runs are imported: what an open one waits for is elsewhere; export it again after its end',
      place: { file, line: 1 },
    });
  }
  return {
    ...{ workflow, runId, status: state.status, inputs: reading.inputs, entries: reading.entries },
    definitions: definitions as unknown as readonly Definition[], // whoever stores them checks their digests
  };
}

/** The entry under the sequences it gets where it is imported. */
export function renumbered({ seq: _, ...entry }: StoredEntry, inputs: ReadonlyMap<number, number>): LogEntry {
  return { ...entry, cause: inputs.get(entry.cause) ?? entry.cause };
}

/** A message id that names an input of its run by sequence (`too-large:<run>:<seq>`), under the new sequences. */
export function renumberedId(msgId: string, runId: string, inputs: ReadonlyMap<number, number>): string {
  const [, seq] = /^too-large:.*:(\d+)$/.exec(msgId) ?? [];
  return seq === undefined ? msgId : `too-large:${runId}:${inputs.get(Number(seq)) ?? seq}`;
}
