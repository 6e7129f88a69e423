/** What the demo knows of its runs while they run: a fold of the events `evt.run.>` and `evt.step.>`. Pure. */

export const RUN_STATUSES = ['waiting', 'running', 'completed', 'failed', 'cancelled'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export interface BoardRun {
  readonly workflow: string;
  readonly runId: string;
  /** `waiting`: its message is published, the run has not begun. */
  readonly status: RunStatus;
  /** The latest step that something happened to. */
  readonly step: string | undefined;
  /** Its Prefect flow has ended, so what is left of the run costs little. */
  readonly computed: boolean;
}

export interface BoardEvent {
  readonly workflow: string;
  readonly runId: string;
  readonly step: string | undefined;
  readonly event: string;
}

const ENDS: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled']);

/** Steps that are Prefect flows, by workflow. */
export const FLOW_STEPS: Readonly<Record<string, string>> = { 'delay-report': 'compute', 'quake-alert': 'assess' };

/** The event of a subject `evt.run.<workflow>.<run>.<event>` or `evt.step.<workflow>.<run>.<step>.<event>`. */
export function parseEvent(subject: string): BoardEvent | undefined {
  const [evt, of, workflow, runId, a, b] = subject.split('.');
  if (evt !== 'evt' || workflow === undefined || runId === undefined || a === undefined) return undefined;
  if (of === 'run' && b === undefined) return { workflow, runId, step: undefined, event: a };
  if (of === 'step' && b !== undefined) return { workflow, runId, step: a, event: b };
  return undefined;
}

function isRunStatus(text: string): text is RunStatus {
  return (RUN_STATUSES as readonly string[]).includes(text);
}

export class Board {
  readonly #runs = new Map<string, BoardRun>();
  /** Events of runs that are not expected (yet): the event may come before the publisher hears of its own message. */
  readonly #early = new Map<string, BoardEvent[]>();

  /** A run whose message is published. Events may have come before. */
  expect(workflow: string, runId: string): void {
    if (this.#runs.has(runId)) return;
    this.#runs.set(runId, { workflow, runId, status: 'waiting', step: undefined, computed: false });
    for (const event of this.#early.get(runId) ?? []) this.apply(event);
    this.#early.delete(runId);
  }

  /** Takes an event; true when it changed something. Those of runs that nobody expects yet are kept for then. */
  apply(given: BoardEvent): boolean {
    const { workflow, runId, step, event } = given;
    const known = this.#runs.get(runId);
    if (known === undefined) {
      this.#early.set(runId, [...(this.#early.get(runId) ?? []), given]);
      return false;
    }
    if (ENDS.has(known.status) && event !== 'retried') return false;
    if (step === undefined) {
      const status = event === 'started' || event === 'retried' ? 'running' : event;
      if (!isRunStatus(status)) return false;
      this.#runs.set(runId, { ...known, status, computed: known.computed || ENDS.has(status) });
      return true;
    }
    const computed = known.computed || (step === FLOW_STEPS[workflow] && ENDS.has(event));
    this.#runs.set(runId, { ...known, status: 'running', step, computed });
    return true;
  }

  get runs(): readonly BoardRun[] {
    return [...this.#runs.values()];
  }

  /** Runs that are expected to compute and have not done so yet. */
  get computing(): number {
    return this.runs.filter((run) => !run.computed).length;
  }

  get ended(): number {
    return this.runs.filter((run) => ENDS.has(run.status)).length;
  }

  get total(): number {
    return this.#runs.size;
  }

  count(workflow: string, status: RunStatus): number {
    return this.runs.filter((run) => run.workflow === workflow && run.status === status).length;
  }

  get workflows(): readonly string[] {
    return [...new Set(this.runs.map((run) => run.workflow))].sort();
  }
}

/** `[██████░░░░]` of the given width in cells. */
export function bar(done: number, total: number, width: number): string {
  const filled = total === 0 ? 0 : Math.round((Math.min(done, total) / total) * width);
  return `[${'█'.repeat(filled)}${'░'.repeat(width - filled)}]`;
}

/** The live table as lines; `planned` is how many runs there will be in the end. */
export function tableLines(board: Board, planned: number, elapsedMs: number): string[] {
  const width = Math.max(12, ...board.workflows.map((name) => name.length));
  const cell = (text: string | number): string => String(text).padStart(10);
  const lines = [`  ${'workflow'.padEnd(width)}${RUN_STATUSES.map(cell).join('')}`];
  for (const workflow of board.workflows) {
    const cells = RUN_STATUSES.map((status) => cell(board.count(workflow, status) || '·'));
    lines.push(`  ${workflow.padEnd(width)}${cells.join('')}`);
  }
  const seconds = Math.floor(elapsedMs / 1_000);
  lines.push(`  ${bar(board.ended, planned, 40)} ${board.ended} of ${planned} runs ended, ${seconds} s`);
  return lines;
}

/** The same in one line, for where there is no terminal. */
export function progressLine(board: Board, planned: number, elapsedMs: number): string {
  const open = board.runs.filter((run) => run.status === 'running').length;
  const failed = board.runs.filter((run) => run.status === 'failed').length;
  const seconds = String(Math.floor(elapsedMs / 1_000)).padStart(4);
  return `${seconds} s  ${board.ended} of ${planned} runs ended, ${open} running, ${failed} failed`;
}
