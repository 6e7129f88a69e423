import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  backoffMs,
  canonicalJson,
  derivedId,
  inputSubject,
  isToken,
  logSubject,
  parseDuration,
  parseRunSubject,
  toToken,
  tryParseDuration,
} from '../../src/kernel/index.ts';

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);

describe('canonical JSON', () => {
  test('is JSON of the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('does not depend on the order of members', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        expect(canonicalJson(Object.fromEntries(Object.entries(value).reverse()))).toBe(canonicalJson(value));
      }),
    );
  });
});

describe('backoff', () => {
  const policy = fc.record({
    initialMs: fc.nat({ max: 100_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    maxMs: fc.nat({ max: 10_000_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  test('is a whole number between 0 and the limit, and always the same', () => {
    fc.assert(
      fc.property(policy, fc.integer({ min: 1, max: 2_000 }), fc.string(), (one, failures, key) => {
        const ms = backoffMs(one, failures, key);
        expect(Number.isInteger(ms) && ms >= 0 && ms <= one.maxMs).toBe(true);
        expect(backoffMs(one, failures, key)).toBe(ms);
      }),
    );
  });
});

describe('durations', () => {
  test('add up over their parts', () => {
    fc.assert(
      fc.property(fc.nat({ max: 99 }), fc.nat({ max: 99 }), fc.nat({ max: 99 }), (h, m, s) => {
        expect(parseDuration(`${h}h${m}m${s}s`)).toBe(((h * 60 + m) * 60 + s) * 1_000);
      }),
    );
  });

  test('never throw in the trying form', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => tryParseDuration(text)).not.toThrow();
      }),
    );
  });
});

describe('subjects', () => {
  test('of runs are read back', () => {
    fc.assert(
      fc.property(token, token, (workflow, runId) => {
        expect(parseRunSubject(inputSubject(workflow, runId))).toEqual({ workflow, side: 'in', runId });
        expect(parseRunSubject(logSubject(workflow, runId))).toEqual({ workflow, side: 'log', runId });
      }),
    );
  });

  test('take no text that is not one token', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        if (isToken(text)) expect(inputSubject('w', text)).toBe(`wf.w.in.${text}`);
        else expect(() => inputSubject('w', text)).toThrow(expect.objectContaining({ code: 'MR_INPUT_INVALID' }));
      }),
    );
  });

  test('can hold any text after toToken', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(isToken(toToken(text))).toBe(true);
      }),
    );
  });
});

test('derived ids are tokens and differ when their parts do', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 5 }), { minLength: 1 }), (parts) => {
      expect(derivedId(...parts)).toMatch(/^[0-9a-z]{16}$/);
      expect(derivedId(...parts, 'x')).not.toBe(derivedId(...parts));
    }),
  );
});
