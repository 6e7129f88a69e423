/** Group commit on a connection: one lane per stream, and a look at the server anew after every reconnect. */
import { createInbox } from 'nats';
import { CommitLane, type GroupCommit } from './committer.ts';
import type { NatsDoor } from './connection.nats.ts';
import type { Headers } from './headers.ts';
import { openPublisher } from './publisher.nats.ts';
import type { PublishOutcome } from './publishing.ts';

export type { GroupCommit } from './committer.ts';

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
  publish(stream: string, subject: string, data: Uint8Array, headers: Headers): Promise<PublishOutcome>;
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
  return {
    publish: (stream, subject, data, headers) => {
      let lane = lanes.get(stream);
      if (lane === undefined) {
        lane = new CommitLane(parts);
        lanes.set(stream, lane);
      }
      return lane.publish(subject, data, headers);
    },
    close: () => publisher.close(),
  };
}
