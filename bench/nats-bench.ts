/** `nats bench js pub`, the NATS project's own load generator: how it is asked, and what it answers. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines, run } from '../ops/lib/exec.ts';

/** `sync`: one after another; `async`: a batch is published, then its acknowledgements are waited for; the others are batches of the protocol. */
export type PublishMode = 'sync' | 'async' | 'atomic' | 'fast';

export interface NatsBenchOptions {
  /** The `nats` program. */
  readonly command: string;
  readonly url: string;
  /** A folder for its report. */
  readonly dir: string;
  readonly mode: PublishMode;
  readonly stream: string;
  readonly subject: string;
  readonly messages: number;
  readonly bytes: number;
  /** Of a mode other than `sync`. */
  readonly batch: number;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 120_000;

export function natsBenchArguments(options: NatsBenchOptions, report: string): readonly string[] {
  const { url, mode, stream, subject, messages, bytes, batch } = options;
  return [
    // A context of the person's own would bring other credentials and another server.
    ...['--no-context', '--server', url, 'bench', 'js', 'pub', mode],
    ...(mode === 'sync' ? [] : ['--batch', String(batch)]),
    ...[
      '--stream',
      stream,
      '--msgs',
      String(messages),
      '--size',
      `${bytes}B`,
      '--no-progress',
      '--csv',
      report,
      subject,
    ],
  ];
}

/**
 * Messages per second: the sum over the clients in its CSV report, or, from a version that writes another one, what it prints.
 * undefined when neither says so.
 */
export function readRate(csv: string, printed: string): number | undefined {
  return rateInCsv(csv) ?? rateInText(printed);
}

function rateInCsv(csv: string): number | undefined {
  const [head = '', ...lines] = csv.trim().split(/\r?\n/);
  const column = head.split(',').indexOf('MsgsPerSec');
  if (column < 0) return undefined;
  const rates = lines.filter((line) => line !== '').map((line) => Number(line.split(',')[column]));
  const sum = rates.reduce((total, rate) => total + rate, 0);
  return rates.length > 0 && Number.isFinite(sum) && sum > 0 ? sum : undefined;
}

function rateInText(printed: string): number | undefined {
  const found = /stats:\s*([\d,.]+)\s*msgs\/sec/i.exec(printed)?.[1];
  const rate = Number(found?.replaceAll(',', ''));
  return Number.isFinite(rate) && rate > 0 ? rate : undefined;
}

/** @throws Error that says what the tool said */
export async function natsBench(options: NatsBenchOptions): Promise<number> {
  const report = join(options.dir, `nats-bench-${options.mode}.csv`);
  await rm(report, { force: true });
  const { timeoutMs = TIMEOUT_MS } = options;
  const answer = await run(options.command, natsBenchArguments(options, report), { timeoutMs });
  const printed = `${answer.stdout}\n${answer.stderr}`;
  if (answer.code !== 0) {
    throw new Error(`nats bench js pub ${options.mode} ended with ${answer.code}: ${lastLines(printed, 2)}`);
  }
  const rate = readRate(await readFile(report, 'utf8').catch(() => ''), printed);
  if (rate === undefined) throw new Error(`nats bench js pub ${options.mode} gave no rate: ${lastLines(printed, 2)}`);
  return rate;
}
