import { describe, expect, it } from 'vitest';
import { readItems } from '../../../ops/demo/data.node.ts';
import {
  type Batch,
  batchesOf,
  type Flight,
  isReviewed,
  isStrong,
  itemsOf,
  type Quake,
  SPOILT,
  spoil,
} from '../../../ops/demo/data.ts';
import { batchSchema, locate, validateBatch } from '../../../ops/demo/steps.ts';
import { isMillraceError } from '../../../src/kernel/index.ts';

const flight = (date: string, delay = 0): Flight => ({ date, delay, distance: 100, origin: 'SFO', destination: 'LAX' });
const quake = (id: string, mag: number | null): Quake => ({ id, properties: { mag, place: 'x', time: 0 } });

describe('batchesOf', () => {
  it('given flights of two days, mixed: two batches, days in order, flights as they come', () => {
    const [a, b, c] = [flight('2001/01/02 10:00'), flight('2001/01/01 09:00'), flight('2001/01/02 08:00')];
    expect(batchesOf([a, b, c])).toEqual([
      { date: '2001-01-01', flights: [b] },
      { date: '2001-01-02', flights: [a, c] },
    ]);
  });
});

describe('spoil', () => {
  it('given the day to spoil: one field of one row is text, nothing else changes', () => {
    const flights = Array.from({ length: 200 }, (_, i) => flight('2001/02/14 00:00', i));
    const other: Batch = { date: '2001-02-13', flights };
    const [same, spoilt] = spoil([other, { date: SPOILT.date, flights }]);
    expect(same).toEqual(other);
    const changed = spoilt?.flights.flatMap((row, i) => (row === flights[i] ? [] : [[i, row]]));
    expect(changed).toEqual([[100, { ...flight('2001/02/14 00:00'), delay: 'twelve minutes' }]]);
  });
});

describe('itemsOf', () => {
  it('given days and quakes: the quakes are spread between the days, only strong ones start runs', () => {
    const days = [
      { date: 'a', flights: [] },
      { date: 'b', flights: [] },
    ];
    const quakes = [quake('1', 4.9), quake('2', 5), quake('3', null), quake('4', 7)];
    const shown = itemsOf(days, quakes).map(({ id, starts }) => [id, starts?.workflow]);
    expect(shown).toEqual([
      ['quakes/1', undefined],
      ['quakes/2', 'quake-alert'],
      ['flights/a', 'delay-report'],
      ['quakes/3', undefined],
      ['quakes/4', 'quake-alert'],
      ['flights/b', 'delay-report'],
    ]);
  });
});

describe('the real data', () => {
  it('holds 90 days, 1,707 quakes, 39 of them strong, about half of those reviewed, and one malformed batch', async () => {
    const items = await readItems();
    const days = items.filter(({ subject }) => subject.startsWith('flights.day.'));
    const quakes = items.filter(({ subject }) => subject === 'quakes.reported').map(({ payload }) => payload as Quake);
    const strong = quakes.filter(isStrong);
    expect([days.length, quakes.length, strong.length]).toEqual([90, 1_707, 39]);
    expect(items.filter(({ starts }) => starts !== undefined).length).toBe(129);
    expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
    const reviewed = strong.filter(({ id }) => isReviewed(id)).length;
    expect(reviewed).toBeGreaterThan(12);
    expect(reviewed).toBeLessThan(27);

    const reasons: string[] = [];
    for (const { payload } of days) {
      try {
        validateBatch(batchSchema.parse(payload));
      } catch (error) {
        reasons.push(isMillraceError(error) ? `${error.next}: ${error.message}` : String(error));
      }
    }
    expect(reasons).toEqual([
      'terminal: flights of 2001-02-14, row 100: field "delay": expected whole minutes as a number, found "twelve minutes"',
    ]);
  });
});

describe('validateBatch', () => {
  it('given a row without a field: says what is missing', () => {
    const { origin: _, ...rest } = flight('2001/01/01 00:00');
    const broken = { date: '2001-01-01', flights: [flight('2001/01/01 00:00'), rest] };
    expect(() => validateBatch(broken)).toThrow(
      'flights of 2001-01-01, row 1: field "origin": expected an airport code of three letters, found nothing',
    );
  });

  it('given good rows: gives them back (negative twin)', () => {
    const batch = { date: '2001-01-01', flights: [flight('2001/01/01 00:00')] };
    expect(validateBatch(batch)).toEqual(batch);
  });
});

describe('locate', () => {
  const at = (place: string, longitude: number, latitude: number) =>
    locate({
      id: 'q',
      properties: { mag: 5, place, time: Date.UTC(2018, 1, 6, 12) },
      geometry: { coordinates: [longitude, latitude, 10] },
    });

  it.each([
    [
      '24km NNE of Hualian, Taiwan',
      120,
      24,
      { region: 'Taiwan', hemisphere: 'north-east', localTime: '2018-02-06 20:00' },
    ],
    [
      'South Sandwich Islands region',
      -30,
      -56,
      { region: 'South Sandwich Islands region', hemisphere: 'south-west', localTime: '2018-02-06 10:00' },
    ],
    ['12km W of Nowhere', 0, 0, { region: 'Nowhere', hemisphere: 'north-east', localTime: '2018-02-06 12:00' }],
  ])('%s', (place, longitude, latitude, expected) => expect(at(place, longitude, latitude)).toEqual(expected));
});
