/** Group commit on a connection: one lane per stream, and a look at the server anew after every reconnect. */
import { createInbox } from 'nats';
import type { GroupCommit } from '../kernel/index.ts';
import { CommitLane } from './committer.ts';
import type { NatsDoor } from './connection.nats.ts';
import type { Headers } from './headers.ts';
import { openPublisher } from './publisher.nats.ts';
import type { Payload, PublishOutcome, Settle } from './publishing.ts';

export interface CommitterOptions {
  /** The door's unless said, and `auto` where that says nothing. */
  readonly groupCommit?: GroupCommit | undefined;
  /** Fewest messages worth a batch; 16 unless said. */
  readonly atLeast?: number | undefined;
}

export interface Committer {
  /**
   * As a publisher's `publish`; the message may share a batch, and so an fsync, with others of the stream.
   * @param stream the stream that listens on the subject
   * @throws what a publisher throws
   */
  publish(stream: string, subject: string, data: Payload, headers: Headers): Promise<PublishOutcome>;
  /** The same without a promise. @throws or rejects what a publisher throws */
  send(
    stream: string,
    subject: string,
    data: Payload,
    headers: Headers,
    resolve: Settle,
    reject: (error: unknown) => void,
  ): void;
  /** What is outstanding ends as unknown. */
  close(): void;
}

const AT_LEAST = 16;

/** @param door stays the caller's; its setting counts unless the options say another */
export function openCommitter(door: NatsDoor, options: CommitterOptions = {}): Committer {
  const { nc } = door;
  const publisher = openPublisher(nc);
  const lanes = new Map<string, CommitLane>();
  // Unique as an inbox is, and short: it is stored with every message.
  const prefix = createInbox().slice(-12);
  let batches = 0;
  const parts = {
    publisher,
    mode: options.groupCommit ?? door.groupCommit ?? 'auto',
    atLeast: options.atLeast ?? AT_LEAST,
    batchId: () => prefix + (batches++).toString(36),
    now: () => performance.now(),
    soon: (callback: () => void) => void setImmediate(callback),
  };
  const watch = async (): Promise<void> => {
    for await (const { type } of nc.status()) if (type === 'reconnect') for (const lane of lanes.values()) lane.reset();
  };
  void watch();
  const laneOf = (stream: string): CommitLane => {
    let lane = lanes.get(stream);
    if (lane === undefined) {
      lane = new CommitLane(parts);
      lanes.set(stream, lane);
    }
    return lane;
  };
  return {
    publish: (stream, subject, data, headers) => laneOf(stream).publish(subject, data, headers),
    send: (stream, subject, data, headers, resolve, reject) =>
      laneOf(stream).send(subject, data, headers, resolve, reject),
    close: () => publisher.close(),
  };
}
