/** Manifests after the schema: typed values that still know where they stand in their file. */
import type { ErrorCode } from '../kernel/index.ts';
import type { Problem } from './problem.ts';
import type { StreamDocument, WorkflowDocument } from './schema.ts';
import type { FieldPath, SourceDocument } from './source.ts';

export interface StreamManifest {
  readonly kind: 'Stream';
  readonly doc: SourceDocument;
  readonly value: StreamDocument;
}

export interface WorkflowManifest {
  readonly kind: 'Workflow';
  readonly doc: SourceDocument;
  readonly value: WorkflowDocument;
}

export type Manifest = StreamManifest | WorkflowManifest;

/** What the rules look at. */
export interface LintContext {
  readonly streams: readonly StreamManifest[];
  readonly workflows: readonly WorkflowManifest[];
  /** Names of Stream documents that did not pass the schema: known to exist, nothing more. */
  readonly unreadableStreams: ReadonlySet<string>;
  /** Subjects of the streams that exist on the server, when that was asked. */
  readonly liveStreams: ReadonlyMap<string, readonly string[]> | undefined;
}

/** A finding of a rule, still bound to its document so that it can be dropped where the schema already complained. */
export interface Finding {
  readonly doc: SourceDocument;
  readonly path: FieldPath;
  readonly problem: Problem;
}

/** A rule looks at everything and returns what it finds; it never throws. */
export type LintRule = (context: LintContext) => readonly Finding[];

/** Builds a finding at a field. */
export function finding(
  manifest: Manifest,
  path: FieldPath,
  details: {
    readonly rule: string;
    readonly message: string;
    readonly hint?: string;
    readonly severity?: Problem['severity'];
    readonly code?: ErrorCode;
    readonly target?: 'value' | 'key';
  },
): Finding {
  const { rule, message, hint, severity = 'error', code = 'MR_MANIFEST_INVALID', target = 'value' } = details;
  const place = manifest.doc.place(path, target);
  const problem = { severity, code, rule, message, ...(hint === undefined ? {} : { hint }), place };
  return { doc: manifest.doc, path, problem };
}
