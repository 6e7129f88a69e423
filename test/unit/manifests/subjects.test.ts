import { describe, expect, test } from 'vitest';
import { covers, overlaps } from '../../../src/manifests/index.ts';

describe('covers', () => {
  test.each([
    ['a.b', 'a.b', true],
    ['a.*', 'a.b', true],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a.*', true],
    ['>', 'a', true],
    ['a.*', 'a.*', true],
    ['a.*', 'a.>', false],
    ['a.>', 'a', false],
    ['a.b', 'a.*', false],
    ['a.*', 'a.b.c', false],
    ['a.*.c', 'a.b.d', false],
  ])('%s, %s: %s', (outer, inner, expected) => expect(covers(outer, inner)).toBe(expected));
});

describe('overlaps', () => {
  test.each([
    ['a.b', 'a.b', true],
    ['a.*', '*.b', true],
    ['a.>', 'a.b.*', true],
    ['>', 'a.b', true],
    ['a.>', 'a', false],
    ['a.*', 'a.b.c', false],
    ['a.b', 'a.c', false],
    ['*.b', '*.c', false],
  ])('%s, %s: %s, either way round', (one, two, expected) => {
    expect(overlaps(one, two)).toBe(expected);
    expect(overlaps(two, one)).toBe(expected);
  });
});
