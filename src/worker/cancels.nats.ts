/** Listens for cancels. They are core messages, a hint that may be missed: late results are refused by the engine anyway. */
import type { NatsConnection, Subscription } from 'nats';
import { type CancelMessage, cancelMessageSchema } from '../engine/index.ts';

/** Calls `onCancel` for every well-formed cancel of any run; what is malformed is ignored. */
export function listenForCancels(nc: NatsConnection, onCancel: (message: CancelMessage) => void): Subscription {
  return nc.subscribe('cancel.*.*', {
    callback: (error, msg) => {
      if (error !== null) return;
      let value: unknown;
      try {
        value = JSON.parse(msg.string());
      } catch {
        return;
      }
      const parsed = cancelMessageSchema.safeParse(value);
      if (parsed.success) onCancel(parsed.data);
    },
  });
}
