import ts from 'typescript';
import { lineOf, treeOf, visit } from './files.ts';
import { isCode, type Rule } from './rule.ts';

const MAX_FILE = 400;
const MAX_FUNCTION = 70;

export const fileLength: Rule = {
  name: 'file-length',
  reason: `a file of more than ${MAX_FILE} lines has more than one subject; split it by subject`,
  applies: (path) => isCode(path) || path.endsWith('.py') || path.endsWith('.cjs'),
  check(file) {
    const lines = file.text.replace(/\n$/, '').split('\n').length;
    return lines > MAX_FILE ? [`1: ${lines} lines, at most ${MAX_FILE}`] : [];
  },
  bad: { path: 'src/kernel/long.ts', text: 'export {};\n'.repeat(MAX_FILE + 1) },
  good: { path: 'src/kernel/long.ts', text: 'export {};\n'.repeat(MAX_FILE) },
};

/** A callback of `describe` is a chapter of a book, not a function. */
function isChapter(node: ts.Node): boolean {
  const call = node.parent;
  return ts.isCallExpression(call) && /^describe\b/.test(call.expression.getText());
}

export const functionLength: Rule = {
  name: 'function-length',
  reason: `a function of more than ${MAX_FUNCTION} lines cannot be seen at once, so nobody knows what it does`,
  applies: isCode,
  check(file) {
    const found: string[] = [];
    visit(file, (node) => {
      if (!ts.isFunctionLike(node) || isChapter(node)) return;
      const from = lineOf(file, node);
      const to = treeOf(file).getLineAndCharacterOfPosition(node.end).line + 1;
      if (to - from + 1 > MAX_FUNCTION)
        found.push(`${from}: a function of ${to - from + 1} lines, at most ${MAX_FUNCTION}`);
    });
    return found;
  },
  bad: { path: 'src/kernel/f.ts', text: `export function f(): void {\n${'  f();\n'.repeat(MAX_FUNCTION - 1)}}\n` },
  good: { path: 'src/kernel/f.ts', text: `export function f(): void {\n${'  f();\n'.repeat(MAX_FUNCTION - 2)}}\n` },
};
