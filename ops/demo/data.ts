/**
 * The demo's data: 20,000 US flights of early 2001 and a week of earthquakes, both from npm's `vega-datasets` (BSD-3).
 * Pure; data.node.ts reads the files.
 */

/** A flight as `flights-20k.json` has it: local time, minutes late (negative when early), miles, airports. */
export interface Flight {
  readonly date: string;
  readonly delay: number;
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

/** One day of flights: the payload of a message on `flights.day.<date>`. */
export interface Batch {
  /** `2001-01-31` */
  readonly date: string;
  /** Not `Flight`: one batch is spoilt on purpose. */
  readonly flights: readonly unknown[];
}

/** A quake as the USGS feed has it, as far as the demo looks at it: the payload of a message on `quakes.reported`. */
export interface Quake {
  readonly id: string;
  readonly properties: { readonly mag: number | null; readonly place: string; readonly time: number };
}

/** The day, the row and the field that `spoil` breaks. */
export const SPOILT = { date: '2001-02-14', row: 100, field: 'delay', value: 'twelve minutes' } as const;

/** From this magnitude on a quake starts a run; the trigger in streams/quake-alert.yaml says the same in CEL. */
export const STRONG = 5;

/** Flights by day, days in order, flights as they come. */
export function batchesOf(flights: readonly Flight[]): Batch[] {
  const days = new Map<string, Flight[]>();
  for (const flight of flights) {
    const date = flight.date.slice(0, 10).replaceAll('/', '-');
    const day = days.get(date);
    if (day === undefined) days.set(date, [flight]);
    else day.push(flight);
  }
  return [...days].map(([date, day]) => ({ date, flights: day })).sort((a, b) => (a.date < b.date ? -1 : 1));
}

/** The batches with one of them malformed, as from a system whose clerk typed a number as a word. */
export function spoil(batches: readonly Batch[]): Batch[] {
  return batches.map((batch) => {
    if (batch.date !== SPOILT.date) return batch;
    const flights = batch.flights.map((flight, row) =>
      row === SPOILT.row && typeof flight === 'object' ? { ...flight, [SPOILT.field]: SPOILT.value } : flight,
    );
    return { ...batch, flights };
  });
}

export const isStrong = (quake: Quake): boolean => (quake.properties.mag ?? 0) >= STRONG;

/** One message to publish. */
export interface Item {
  readonly subject: string;
  /** Part of the message id: the same item is never stored twice in one demo. */
  readonly id: string;
  readonly payload: Batch | Quake;
  /** The workflow and trigger that this message starts a run of; undefined when no trigger takes it. */
  readonly starts: { readonly workflow: string; readonly trigger: string } | undefined;
}

const fromBatch = (batch: Batch): Item => ({
  subject: `flights.day.${batch.date}`,
  id: `flights/${batch.date}`,
  payload: batch,
  starts: { workflow: 'delay-report', trigger: 'day' },
});

const fromQuake = (quake: Quake): Item => ({
  subject: 'quakes.reported',
  id: `quakes/${quake.id}`,
  payload: quake,
  starts: isStrong(quake) ? { workflow: 'quake-alert', trigger: 'reported' } : undefined,
});

/** All messages, the quakes spread evenly between the days. */
export function itemsOf(batches: readonly Batch[], quakes: readonly Quake[]): Item[] {
  const items: Item[] = [];
  let next = 0;
  batches.forEach((batch, day) => {
    const until = Math.round(((day + 1) * quakes.length) / batches.length);
    items.push(...quakes.slice(next, until).map(fromQuake), fromBatch(batch));
    next = until;
  });
  items.push(...quakes.slice(next).map(fromQuake));
  return items;
}

/** Whether somebody reviews this quake's alert in time: about half of them, always the same ones. */
export function isReviewed(quakeId: string): boolean {
  let sum = 0;
  for (const letter of quakeId) sum += letter.charCodeAt(0);
  return sum % 2 === 0;
}
