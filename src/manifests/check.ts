/**
 * From files to checked manifests: parse, schema, rules; all problems at once, as values. Pure.
 *
 *   C1 nothing throws for bad input: every problem comes back with its place;
 *   C2 a rule is not heard where the schema has already complained (one mistake, one problem);
 *   C3 definitions and streams come back only when no error was found.
 */
import type { z } from 'zod';
import type { Definition, StreamAsset } from '../engine/index.ts';
import { isObject } from '../kernel/index.ts';
import { type Located, problemsOfIssue } from './issues.ts';
import { LINT_RULES } from './lint-rules/index.ts';
import type { Finding, LintContext, Manifest, StreamManifest, WorkflowManifest } from './manifest.ts';
import { suggest } from './nearest.ts';
import { normalizeStream, normalizeWorkflow } from './normalize.ts';
import { isAcceptable, type Problem, sortProblems } from './problem.ts';
import {
  API_VERSION,
  expectationOf,
  type FunctionDocument,
  functionSchema,
  KINDS,
  streamSchema,
  type WorkflowDocument,
  workflowSchema,
} from './schema.ts';
import { type FieldPath, parseSource, type SourceDocument, type SourceFile } from './source.ts';

export interface CheckOptions {
  /** Subjects of the streams on the server by name, when known: triggers may name those too. */
  readonly liveStreams?: ReadonlyMap<string, readonly string[]>;
  /** Replicas of streams whose manifest does not say (default 1). */
  readonly replicas?: number;
}

export interface Checked {
  /** Sorted by place. */
  readonly problems: readonly Problem[];
  /** Empty when there are errors. */
  readonly definitions: readonly Definition[];
  readonly streams: readonly StreamAsset[];
  /** Documents read, whether good or bad. */
  readonly documents: number;
}

interface Read {
  readonly manifest?: Manifest;
  readonly doc: SourceDocument;
  readonly located: readonly Located[];
}

/** What stands in for a refused value while the rules judge the rest; undefined: it is left out. */
function standIn(issue: z.core.$ZodIssue): string | undefined {
  const own = expectationOf(issue.message)?.placeholder;
  if (own !== undefined || issue.code !== 'invalid_union') return own;
  return issue.errors
    .flat()
    .map(standIn)
    .find((placeholder) => placeholder !== undefined);
}

/** The value without what the schema refused. */
function pruned(value: unknown, issues: readonly z.core.$ZodIssue[]): unknown {
  const copy: unknown = structuredClone(value);
  const replace = (path: readonly PropertyKey[], by: string | undefined): void => {
    let at: unknown = copy;
    for (const part of path.slice(0, -1)) {
      if (Array.isArray(at)) at = at[Number(part)];
      else if (isObject(at)) at = at[String(part)];
    }
    const last = path.at(-1);
    if (last === undefined) return;
    if (Array.isArray(at) && by !== undefined) at[Number(last)] = by;
    else if (isObject(at) && by !== undefined) at[String(last)] = by;
    else if (isObject(at)) delete at[String(last)];
  };
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) replace([...issue.path, key], undefined);
    else replace(issue.path, standIn(issue));
  }
  return copy;
}

function readAs<T>(doc: SourceDocument, schema: z.ZodType<T>, make: (value: T) => Manifest): Omit<Read, 'doc'> {
  const parsed = schema.safeParse(doc.value);
  if (parsed.success) return { manifest: make(parsed.data), located: [] };
  const { issues } = parsed.error;
  const located = issues.flatMap((issue) => problemsOfIssue(issue, doc, schema));
  const rest = schema.safeParse(pruned(doc.value, issues));
  return rest.success ? { manifest: make(rest.data), located } : { located };
}

/** For the rules a durable function is a workflow whose steps are elsewhere. */
function asWorkflow({ spec, ...rest }: FunctionDocument): WorkflowDocument {
  return { ...rest, kind: 'Workflow', spec: { ...spec, deadLetter: false, steps: [], code: true } };
}

function read(doc: SourceDocument): Read {
  const problem = (path: FieldPath, rule: string, message: string, hint: string): Read => ({
    doc,
    located: [
      {
        path,
        problem: { severity: 'error', code: 'MR_MANIFEST_INVALID', rule, message, hint, place: doc.place(path) },
      },
    ],
  });
  if (!isObject(doc.value)) {
    return problem([], 'type', 'a manifest is an object', 'begin with apiVersion, kind, metadata and spec');
  }
  const { apiVersion, kind } = doc.value;
  if (apiVersion !== API_VERSION) {
    const found = apiVersion === undefined ? 'apiVersion is missing' : `apiVersion is ${JSON.stringify(apiVersion)}`;
    return problem(['apiVersion'], 'api-version', found, `write apiVersion: ${API_VERSION}`);
  }
  switch (kind) {
    case 'Stream':
      return { doc, ...readAs(doc, streamSchema, (value) => ({ kind: 'Stream', doc, value })) };
    case 'Workflow':
      return { doc, ...readAs(doc, workflowSchema, (value) => ({ kind: 'Workflow', doc, value })) };
    case 'Function':
      return { doc, ...readAs(doc, functionSchema, (value) => ({ kind: 'Workflow', doc, value: asWorkflow(value) })) };
    default: {
      const found = kind === undefined ? 'kind is missing' : `unknown kind ${JSON.stringify(kind)}`;
      return problem(['kind'], 'kind', found, suggest(String(kind), KINDS, 'kinds'));
    }
  }
}

function isPrefix(short: FieldPath, long: FieldPath): boolean {
  return short.length <= long.length && short.every((part, index) => part === long[index]);
}

/** Whether the schema has complained about this field, what holds it or what is in it (C2). */
function isCovered(finding: Finding, reads: readonly Read[]): boolean {
  const located = reads.find((entry) => entry.doc === finding.doc)?.located ?? [];
  return located.some(({ path }) => isPrefix(path, finding.path) || isPrefix(finding.path, path));
}

function nameOf(doc: SourceDocument): string | undefined {
  const metadata = isObject(doc.value) ? doc.value['metadata'] : undefined;
  const name = isObject(metadata) ? metadata['name'] : undefined;
  return typeof name === 'string' ? name : undefined;
}

function contextOf(reads: readonly Read[], options: CheckOptions): LintContext {
  const manifests = reads.flatMap(({ manifest }) => (manifest === undefined ? [] : [manifest]));
  const unreadable = reads.filter(({ doc, manifest }) => manifest === undefined && isObject(doc.value));
  return {
    streams: manifests.filter((manifest): manifest is StreamManifest => manifest.kind === 'Stream'),
    workflows: manifests.filter((manifest): manifest is WorkflowManifest => manifest.kind === 'Workflow'),
    unreadableStreams: new Set(unreadable.map(({ doc }) => nameOf(doc)).filter((name) => name !== undefined)),
    liveStreams: options.liveStreams,
  };
}

/** Checks manifests: each by itself, and all of them against each other. */
export function checkManifests(sources: readonly SourceFile[], options: CheckOptions = {}): Checked {
  const parsed = sources.map(parseSource);
  const reads = parsed.flatMap(({ documents }) => documents).map(read);
  const context = contextOf(reads, options);
  const findings = LINT_RULES.flatMap((rule) => rule(context)).filter((found) => !isCovered(found, reads));
  const problems = sortProblems([
    ...parsed.flatMap((source) => source.problems),
    ...reads.flatMap(({ located }) => located.map(({ problem }) => problem)),
    ...findings.map(({ problem }) => problem),
  ]);
  if (!isAcceptable(problems)) return { problems, definitions: [], streams: [], documents: reads.length };
  return {
    problems,
    definitions: context.workflows.map(({ value }) => normalizeWorkflow(value)),
    streams: context.streams.map(({ value }) => normalizeStream(value, options.replicas)),
    documents: reads.length,
  };
}
