/** What the demo's step handlers take, give and decide. Pure; worker.ts adds the effects. */
import { z } from 'zod';
import { NonRetryableError } from '../../src/worker/index.ts';

const airport = z.string().regex(/^[A-Z]{3}$/, 'expected an airport code of three letters');

export const flightSchema = z.object({
  date: z.string().regex(/^\d{4}\/\d{2}\/\d{2} \d{2}:\d{2}$/, 'expected a time such as 2001/01/31 23:59'),
  delay: z.number().int(),
  distance: z.number().positive(),
  origin: airport,
  destination: airport,
});

export const batchSchema = z.object({ date: z.iso.date(), flights: z.array(z.unknown()).min(1) });
export type BatchInput = z.infer<typeof batchSchema>;

export const validBatchSchema = z.object({ date: z.string(), flights: z.array(flightSchema) });

/**
 * The batch, checked flight by flight.
 * @throws NonRetryableError that names the first bad row, its field and what stands there
 */
export function validateBatch(batch: BatchInput): z.infer<typeof validBatchSchema> {
  const flights = batch.flights.map((flight, row) => {
    const parsed = flightSchema.safeParse(flight);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    const field = (issue?.path ?? []).join('.');
    throw new NonRetryableError(`flights of ${batch.date}, row ${row}: field "${field}": ${describe(flight, field)}`, {
      hint: 'mend the batch at its source, then deliver it again',
    });
  });
  return { date: batch.date, flights };
}

const EXPECTED: Readonly<Record<string, string>> = {
  date: 'a time such as 2001/01/31 23:59',
  delay: 'whole minutes as a number',
  distance: 'miles as a number above zero',
  origin: 'an airport code of three letters',
  destination: 'an airport code of three letters',
};

function describe(flight: unknown, field: string): string {
  const value = typeof flight === 'object' && flight !== null ? (flight as Record<string, unknown>)[field] : flight;
  return `expected ${EXPECTED[field] ?? 'a flight'}, found ${value === undefined ? 'nothing' : JSON.stringify(value)}`;
}

export const quakeSchema = z.object({
  id: z.string(),
  properties: z.object({ mag: z.number(), place: z.string(), time: z.number() }),
  geometry: z.object({ coordinates: z.tuple([z.number(), z.number(), z.number()]) }),
});
export type QuakeInput = z.infer<typeof quakeSchema>;

export const locationSchema = z.object({ region: z.string(), hemisphere: z.string(), localTime: z.string() });

/** Attempts of quakes.locate that fail on purpose. */
export const LOCATE_FAILS = 2;

/** Where a quake was: the region out of the feed's text, the quarter of the globe, the solar time there. */
export function locate({ properties, geometry }: QuakeInput): z.infer<typeof locationSchema> {
  const [longitude, latitude] = geometry.coordinates;
  const place = properties.place;
  const comma = place.lastIndexOf(', ');
  const region = comma >= 0 ? place.slice(comma + 2) : place.replace(/^\d+(\.\d+)?\s*km\s+\S+\s+of\s+/, '');
  const hemisphere = `${latitude >= 0 ? 'north' : 'south'}-${longitude >= 0 ? 'east' : 'west'}`;
  // 15 degrees of longitude are an hour.
  const local = new Date(properties.time + (longitude / 15) * 3_600_000);
  return { region, hemisphere, localTime: local.toISOString().slice(0, 16).replace('T', ' ') };
}
