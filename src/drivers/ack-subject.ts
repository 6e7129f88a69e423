/** What a delivery's reply subject says: `$JS.ACK.…`, nine tokens, or more with domain and account (ADR-15 of NATS). Pure. */
export interface DeliveryNumbers {
  /** 1 on first delivery. */
  readonly deliveries: number;
  /** Of the stream. */
  readonly seq: number;
  /** Of the consumer: it numbers its deliveries one after another. */
  readonly deliverySeq: number;
  /** When the message was stored: whole milliseconds, what is below them cut off. */
  readonly at: number;
}

const OLD_FORM = 9;
const NANOS_DIGITS = 6;

/** undefined when the subject is not that of a delivery. */
export function parseAckSubject(reply: string): DeliveryNumbers | undefined {
  const tokens = reply.split('.');
  if (tokens.length < OLD_FORM || tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined;
  const first = tokens.length === OLD_FORM ? 4 : 6;
  const deliveries = Number(tokens[first]);
  const seq = Number(tokens[first + 1]);
  const deliverySeq = Number(tokens[first + 2]);
  const at = Number(tokens[first + 3]?.slice(0, -NANOS_DIGITS));
  const whole =
    Number.isInteger(deliveries) && Number.isInteger(seq) && Number.isInteger(deliverySeq) && Number.isInteger(at);
  return whole ? { deliveries, seq, deliverySeq, at } : undefined;
}
