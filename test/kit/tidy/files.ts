/** The repository's own text files, as the house rules look at them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export interface SourceFile {
  /** Path from the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Folders that hold nothing of ours; they are the ones of .gitignore. */
const FOREIGN = new Set(['node_modules', 'dist', 'coverage', '.git', '.millrace', '__pycache__', '.venv']);
const TEXT =
  /(\.(ts|cjs|mjs|js|json|md|ya?ml|py|sh|conf|in|lock|mod|html|css)|^Makefile|^LICENSE|^run|^\.npmrc|^Dockerfile)$/;

function walk(folder: string, found: string[]): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (FOREIGN.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) walk(path, found);
    else if (TEXT.test(entry.name)) found.push(path);
  }
}

/** Every text file of the repository, read once. */
export function repositoryFiles(): readonly SourceFile[] {
  const paths: string[] = [];
  walk(ROOT, paths);
  return paths.sort().map((path) => ({
    path: relative(ROOT, path).split(sep).join('/'),
    text: readFileSync(path, 'utf8'),
  }));
}

const parsed = new WeakMap<SourceFile, ts.SourceFile>();

/** The file's syntax tree; parsed once per file. */
export function treeOf(file: SourceFile): ts.SourceFile {
  let tree = parsed.get(file);
  if (tree === undefined) {
    tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
    parsed.set(file, tree);
  }
  return tree;
}

/** Visits every node of the file, depth first. */
export function visit(file: SourceFile, look: (node: ts.Node) => void): void {
  const each = (node: ts.Node): void => {
    look(node);
    node.forEachChild(each);
  };
  each(treeOf(file));
}

/** Line of a node, from 1. */
export function lineOf(file: SourceFile, node: ts.Node): number {
  return treeOf(file).getLineAndCharacterOfPosition(node.getStart()).line + 1;
}
