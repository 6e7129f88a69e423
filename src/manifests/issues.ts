/** zod's issues as problems people can act on: what was expected, what was found, where. */
import type { z } from 'zod';
import { isObject } from '../kernel/index.ts';
import { suggest } from './nearest.ts';
import type { Problem } from './problem.ts';
import { expectationOf, fieldsAt } from './schema.ts';
import { type FieldPath, formatPath, type SourceDocument } from './source.ts';

type Issue = z.core.$ZodIssue;

/** A problem together with the path it forbids judging further (see `check.ts`). */
export interface Located {
  readonly problem: Problem;
  readonly path: FieldPath;
}

const fieldPath = (path: readonly PropertyKey[]): FieldPath =>
  path.map((part) => (typeof part === 'number' ? part : String(part)));

function valueAt(value: unknown, path: FieldPath): unknown {
  let at = value;
  for (const part of path) {
    if (Array.isArray(at)) at = at[Number(part)];
    else if (isObject(at)) at = at[String(part)];
    else return undefined;
  }
  return at;
}

function show(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (isObject(value)) return 'an object';
  return `${typeof value === 'string' ? 'the text ' : ''}${JSON.stringify(value) ?? 'nothing'}`;
}

const WORDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

interface Finding {
  readonly rule: string;
  readonly expected: string;
  readonly hint?: string;
}

function finding(issue: Issue, schema: z.ZodType): Finding {
  const own = expectationOf(issue.message);
  if (own !== undefined) return own;
  switch (issue.code) {
    case 'invalid_type': {
      const inside = fieldPath(issue.path);
      const fields = issue.expected === 'object' ? fieldsAt(schema, inside) : [];
      const hint = fields.length === 0 ? {} : { hint: `fields: ${fields.join(', ')}` };
      return { rule: 'type', expected: WORDS[issue.expected] ?? `a value of type ${issue.expected}`, ...hint };
    }
    case 'invalid_value':
      return { rule: 'value', expected: issue.values.map((value) => JSON.stringify(value)).join(' or ') };
    case 'too_small':
      if (issue.origin === 'array') return { rule: 'value', expected: `a list of at least ${issue.minimum}` };
      if (issue.origin === 'string') return { rule: 'value', expected: `at least ${issue.minimum} characters` };
      return {
        rule: 'value',
        expected: `a number ${issue.inclusive === false ? 'above' : 'of at least'} ${issue.minimum}`,
      };
    case 'too_big':
      if (issue.origin === 'array') return { rule: 'value', expected: `a list of at most ${issue.maximum}` };
      if (issue.origin === 'string') return { rule: 'value', expected: `at most ${issue.maximum} characters` };
      return { rule: 'value', expected: `a number of at most ${issue.maximum}` };
    case 'invalid_union':
      return unionFinding(issue, schema);
    case 'invalid_key':
      return { rule: 'name', expected: 'a label name', hint: 'use letters, digits, ".", "_", "/" and "-", at most 63' };
    default:
      return { rule: 'value', expected: issue.message };
  }
}

/** Of the alternatives, the one whose failure is not merely "another type". */
function unionFinding(issue: Extract<Issue, { code: 'invalid_union' }>, schema: z.ZodType): Finding {
  const all = issue.errors.flat().map((inner) => finding(inner, schema));
  return all.find(({ rule }) => rule !== 'type') ?? { rule: 'type', expected: all.map((f) => f.expected).join(' or ') };
}

function unknownFields(issue: Extract<Issue, { code: 'unrecognized_keys' }>, doc: SourceDocument, schema: z.ZodType) {
  const container = fieldPath(issue.path);
  const known = fieldsAt(schema, container);
  return issue.keys.map(
    (key): Located => ({
      // Below a list (a step, a trigger) a misspelt field leaves a hole: nothing else in that object is judged.
      path: container.length >= 3 ? container : [...container, key],
      problem: {
        severity: 'error',
        code: 'MR_MANIFEST_INVALID',
        rule: 'unknown-field',
        message: `unknown field "${key}"${container.length === 0 ? '' : ` in ${formatPath(container)}`}`,
        hint: suggest(key, known, 'fields'),
        place: doc.place([...container, key], 'key'),
      },
    }),
  );
}

/** The problems of one issue. */
export function problemsOfIssue(issue: Issue, doc: SourceDocument, schema: z.ZodType): readonly Located[] {
  if (issue.code === 'unrecognized_keys') return unknownFields(issue, doc, schema);
  const path = fieldPath(issue.path);
  const found = valueAt(doc.value, path);
  const { rule, expected, hint } = finding(issue, schema);
  const where = formatPath(path) === '' ? 'the document' : formatPath(path);
  const missing = found === undefined;
  const problem: Problem = {
    severity: 'error',
    code: 'MR_MANIFEST_INVALID',
    rule: missing ? 'required' : rule,
    message: missing
      ? `${where} is missing; expected ${expected}`
      : `${where}: expected ${expected}, found ${show(found)}`,
    ...(hint === undefined ? {} : { hint }),
    place: doc.place(path, issue.code === 'invalid_key' ? 'key' : 'value'),
  };
  return [{ path, problem }];
}
