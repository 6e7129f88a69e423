import type { SourceFile } from './files.ts';

/** A house rule: what it holds, why, and a twin that proves that it can fail. */
export interface Rule {
  readonly name: string;
  /** Why the rule exists; printed with every finding. */
  readonly reason: string;
  applies(path: string): boolean;
  /** One sentence per finding, beginning with `line:`. */
  check(file: SourceFile): readonly string[];
  /** A file the rule must refuse. */
  readonly bad: SourceFile;
  /** A file close to it that the rule must let pass. */
  readonly good: SourceFile;
}

export const isCode = (path: string): boolean => path.endsWith('.ts');
export const isTest = (path: string): boolean => path.endsWith('.test.ts');
export const isSource = (path: string): boolean => path.startsWith('src/') && isCode(path);
