/** YAML text with positions: which line and column a field of a document came from. Pure. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  visit,
} from 'yaml';
import { messageOf, type Place } from '../kernel/index.ts';
import type { Problem } from './problem.ts';

export type FieldPath = readonly (string | number)[];

/** A file of manifests, by name and text. */
export interface SourceFile {
  readonly file: string;
  readonly text: string;
}

/** `spec.steps[2].needs[0]`; keys that are no plain words are quoted. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** One YAML document: its value, and where each field of it stands. */
export class SourceDocument {
  readonly file: string;
  readonly value: unknown;
  readonly #doc: Document.Parsed;
  readonly #lines: LineCounter;

  constructor(file: string, doc: Document.Parsed, lines: LineCounter, value: unknown) {
    this.file = file;
    this.#doc = doc;
    this.#lines = lines;
    this.value = value;
  }

  /** Where the field's value stands (`key`: its name). A field that is not there is placed at what should hold it. */
  place(path: FieldPath, target: 'value' | 'key' = 'value'): Place {
    const offset = this.#offset(path, target);
    const { line, col } = this.#lines.linePos(offset);
    const text = formatPath(path);
    return {
      file: this.file,
      line: Math.max(1, line),
      column: Math.max(1, col),
      ...(text === '' ? {} : { path: text }),
    };
  }

  #offset(path: FieldPath, target: 'value' | 'key'): number {
    let node: unknown = this.#doc.contents;
    let offset = this.#doc.contents?.range[0] ?? this.#doc.range[0];
    for (const [index, part] of path.entries()) {
      const last = index === path.length - 1;
      if (isAlias(node)) node = node.resolve(this.#doc);
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
        if (pair === undefined) return offset;
        const key = isNode(pair.key) ? pair.key.range?.[0] : undefined;
        const value = isNode(pair.value) ? pair.value.range?.[0] : undefined;
        const empty = isScalar(pair.value) && pair.value.value === null && pair.value.source === '';
        // An object is best shown by its name; a scalar by itself, and by its name when nothing is written there.
        const byKey = last ? target === 'key' || empty : isMap(pair.value) || isSeq(pair.value);
        offset = (byKey ? key : value) ?? key ?? offset;
        node = pair.value;
      } else if (isSeq(node)) {
        const item: unknown = node.items[Number(part)];
        if (isNode(item)) offset = item.range?.[0] ?? offset;
        node = isPair(item) ? item.value : item;
      } else return offset;
    }
    return offset;
  }
}

function syntaxProblem(file: string, lines: LineCounter, offset: number, message: string, hint: string): Problem {
  const { line, col } = lines.linePos(offset);
  return {
    severity: 'error',
    code: 'MR_MANIFEST_SYNTAX',
    rule: 'syntax',
    message,
    hint,
    place: { file, line: Math.max(1, line), column: Math.max(1, col) },
  };
}

/** Where the first alias stands that names no anchor; the document's begin when there is none. */
function danglingAlias(doc: Document.Parsed): number {
  let offset: number | undefined;
  visit(doc, {
    Alias(_, alias) {
      if (alias.resolve(doc) === undefined) offset ??= alias.range?.[0];
    },
  });
  return offset ?? doc.range[0];
}

const HINTS: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'remove one of the two; YAML would keep only one of them',
  TAB_AS_INDENT: 'indent with spaces',
  TAG_RESOLVE_FAILED:
    'a text that begins with "!" is a YAML tag; put it in quotes, for example when: "!steps.review.received"',
  BAD_INDENT: 'check the indentation, and that every bracket is closed',
};

/** The documents of a file. A document that is no YAML gives problems and no document; an empty one gives nothing. */
export function parseSource(source: SourceFile): {
  readonly documents: readonly SourceDocument[];
  readonly problems: readonly Problem[];
} {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(source.text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const documents: SourceDocument[] = [];
  const problems: Problem[] = [];
  if (!Array.isArray(parsed)) return { documents, problems };
  for (const doc of parsed) {
    const found = [...doc.errors, ...doc.warnings];
    for (const error of found) {
      const hint = HINTS[error.code] ?? 'manifests are YAML 1.2; text with ": ", "#" or a leading "{" needs quotes';
      problems.push(syntaxProblem(source.file, lines, error.pos[0], error.message, hint));
    }
    if (found.length > 0 || doc.contents === null) continue;
    try {
      const value: unknown = doc.toJS({ maxAliasCount: 100 });
      if (value !== null) documents.push(new SourceDocument(source.file, doc, lines, value));
    } catch (error) {
      const hint = 'an alias (*name) needs an anchor (&name) before it in the same document';
      problems.push(syntaxProblem(source.file, lines, danglingAlias(doc), messageOf(error), hint));
    }
  }
  return { documents, problems };
}
