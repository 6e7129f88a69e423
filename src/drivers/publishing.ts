/** What a publisher is, and the ways a publish can end. Pure. */
import type { Headers } from './headers.ts';

export type PublishOutcome =
  | {
      readonly kind: 'stored';
      readonly stream: string;
      readonly seq: number;
      readonly duplicate: boolean;
      /** How many messages this acknowledges, when it is a batch that was committed. */
      readonly count?: number;
    }
  | { readonly kind: 'refused'; readonly code: number; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** What a message carries; text is encoded when it is written. */
export type Payload = string | Uint8Array;

export type Settle = (outcome: PublishOutcome) => void;

export interface Publisher {
  /**
   * Resolves in every case the server or the network can bring about.
   * @throws MillraceError MR_INPUT_INVALID for headers that cannot be sent; what the client library throws for a subject that
   *   is none, or a message above the server's limit
   */
  publish(subject: string, data: Payload, headers: Headers): Promise<PublishOutcome>;
  /**
   * The same for who has the headers as lines ({@link headerLines}) and wants no promise. Throws as `publish` rejects, and
   * then does not call back.
   */
  send(subject: string, data: Payload, lines: string, settle: Settle): void;
  /** Publishes without asking for an answer. */
  post(subject: string, data: Payload, lines: string): void;
  /** Ends the subscription; what is outstanding ends as unknown, and so does what comes later. */
  close(): void;
}
