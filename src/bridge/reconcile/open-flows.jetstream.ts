/**
 * Feeds the projection of open flows from the streams: one ordered consumer per workflow over its logs, from the start.
 * A consumer that breaks, or a stream that is deleted, starts its workflow's projection anew.
 */
import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import type { NatsDoor } from '../../drivers/index.ts';
import { upcastEntry } from '../../engine/index.ts';
import { allLogs, type Clock, messageOf, parseRunSubject, workflowStream } from '../../kernel/index.ts';
import type { Telemetry } from '../../telemetry/index.ts';
import type { ReconcileKey } from '../key.ts';
import { type OpenFlows, OpenFlowsOfWorkflow, type WatchedAttempt } from './open-flows.ts';

export interface StreamedOpenFlows extends OpenFlows {
  /** Also watches these workflows from now on. */
  add(workflows: readonly string[]): void;
  stop(): Promise<void>;
}

const AGAIN_MS = 1_000;

export function followOpenFlows(door: NatsDoor, clock: Clock, telemetry: Telemetry): StreamedOpenFlows {
  return new Following(door, clock, telemetry);
}

class Following implements StreamedOpenFlows {
  readonly #door: NatsDoor;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #stopping = new AbortController();
  readonly #projections = new Map<string, OpenFlowsOfWorkflow>();
  readonly #messages = new Map<string, ConsumerMessages>();
  readonly #loops: Promise<void>[] = [];

  constructor(door: NatsDoor, clock: Clock, telemetry: Telemetry) {
    this.#door = door;
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  add(workflows: readonly string[]): void {
    for (const workflow of workflows) {
      if (this.#projections.has(workflow) || this.#stopping.signal.aborted) continue;
      this.#projections.set(workflow, new OpenFlowsOfWorkflow(workflow));
      this.#loops.push(this.#loop(workflow));
    }
  }

  *watched(): Iterable<WatchedAttempt> {
    for (const projection of this.#projections.values()) yield* projection.watched();
  }

  settle(key: ReconcileKey): void {
    this.#projections.get(key.workflow)?.settle(key);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const messages of this.#messages.values()) messages.stop();
    await Promise.all(this.#loops);
  }

  async #loop(workflow: string): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const projection = new OpenFlowsOfWorkflow(workflow);
      this.#projections.set(workflow, projection);
      try {
        await this.#follow(workflow, projection);
      } catch (error) {
        this.#telemetry.log.debug({ workflow, error: messageOf(error) }, 'the log cannot be followed, trying again');
      }
      if (!signal.aborted) await this.#clock.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  async #follow(workflow: string, projection: OpenFlowsOfWorkflow): Promise<void> {
    const options = { filter_subjects: allLogs(workflow), inactive_threshold: 30_000 };
    const consumer = await this.#door.js.consumers.get(workflowStream(workflow), options);
    const messages = await consumer.consume({ max_messages: 500 });
    this.#messages.set(workflow, messages);
    if (this.#stopping.signal.aborted) messages.stop();
    try {
      for await (const message of messages) this.#apply(projection, message);
    } finally {
      this.#messages.delete(workflow);
    }
  }

  #apply(projection: OpenFlowsOfWorkflow, message: JsMsg): void {
    const ref = parseRunSubject(message.subject);
    if (ref === undefined) return;
    try {
      projection.apply(ref.runId, upcastEntry(message.json()), this.#clock.now());
    } catch (error) {
      // The controller reports a corrupt journal loudly; here it only means that one run is not watched.
      this.#telemetry.log.debug({ ...ref, seq: message.seq, error: messageOf(error) }, 'a log entry cannot be read');
    }
  }
}
