/** The steps of workflow.yaml. Each keys what it does outside by the idempotency key, since it may be called more than once. */
import { z } from 'zod';
import { type Json, NonRetryableError, step } from '../../src/index.ts';

/** The world outside: a table per service, written once per key. */
export interface Shop {
  readonly reservations: Map<string, string>;
  readonly payments: Map<string, number>;
  readonly parcels: Map<string, string>;
}

/** What a compensation is called with: the step's own input and output. */
const undone = <I extends z.ZodType, O extends z.ZodType>(input: I, output: O) =>
  z.object({ payload: z.custom<Json>(), input, output });

const Reservation = z.object({ sku: z.string(), count: z.number().int().positive() });
const Reserved = z.object({ reservation: z.string() });
const Charge = z.object({ order: z.string(), cents: z.number().int() });
const Charged = z.object({ payment: z.string() });

export const shopSteps = ({ reservations, payments, parcels }: Shop) => [
  step({
    name: 'stock.reserve',
    input: Reservation,
    output: Reserved,
    run: ({ sku, count }, { idempotencyKey }) => {
      reservations.set(idempotencyKey, `${count} of ${sku}`);
      return { reservation: idempotencyKey };
    },
  }),
  step({
    name: 'stock.release',
    input: undone(Reservation, Reserved),
    output: z.null(),
    run: ({ output }) => {
      reservations.delete(output.reservation);
      return null;
    },
  }),
  step({
    name: 'payments.charge',
    input: Charge,
    output: Charged,
    run: ({ cents }, { idempotencyKey }) => {
      payments.set(idempotencyKey, cents);
      return { payment: idempotencyKey };
    },
  }),
  step({
    name: 'payments.refund',
    input: undone(Charge, Charged),
    output: z.null(),
    run: ({ output }) => {
      payments.delete(output.payment);
      return null;
    },
  }),
  step({
    name: 'parcels.ship',
    input: z.object({ order: z.string(), reservation: z.string() }),
    output: z.object({ tracking: z.string() }),
    run: ({ order, reservation }, { idempotencyKey }) => {
      if (!reservations.has(reservation)) throw new NonRetryableError(`nothing is reserved for ${order}`);
      if (order.startsWith('far-')) throw new NonRetryableError(`no carrier goes where ${order} is to go`);
      parcels.set(idempotencyKey, order);
      return { tracking: `track-${order}` };
    },
  }),
];
