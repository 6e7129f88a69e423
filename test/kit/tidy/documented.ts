/** Which of a module's public symbols nobody has written a sentence about. */
import ts from 'typescript';

/** The text of a file by its path from the root; undefined when there is none. */
export type ReadFile = (path: string) => string | undefined;

function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

function declares(node: ts.Statement, name: string): ts.Node | undefined {
  if (ts.isVariableStatement(node)) {
    const found = node.declarationList.declarations.some((one) => one.name.getText() === name);
    return found ? node : undefined;
  }
  const named =
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isEnumDeclaration(node);
  return named && node.name?.text === name ? node : undefined;
}

const hasDoc = (node: ts.Node, text: string): boolean =>
  (ts.getLeadingCommentRanges(text, node.pos) ?? []).some(({ pos }) => text.startsWith('/**', pos));

/** Follows a name through re-exports to where it is declared; the sentence is missing, or the declaration is. */
function problemOf(path: string, name: string, read: ReadFile): string | undefined {
  const text = read(path);
  if (text === undefined) return `${path} is not there`;
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  let documented: boolean | undefined;
  for (const node of tree.statements) {
    const declaration = declares(node, name);
    // One sentence over the overloads of a function is enough.
    if (declaration !== undefined) documented = documented === true || hasDoc(declaration, text);
    if (!ts.isExportDeclaration(node) || node.moduleSpecifier === undefined) continue;
    const next = resolve(path, (node.moduleSpecifier as ts.StringLiteral).text);
    if (node.exportClause === undefined) {
      const found = problemOf(next, name, read);
      if (found === undefined || !found.endsWith('not declared')) return found;
      continue;
    }
    if (!ts.isNamedExports(node.exportClause)) continue;
    const spec = node.exportClause.elements.find((one) => one.name.text === name);
    if (spec !== undefined) return problemOf(next, spec.propertyName?.text ?? name, read);
  }
  if (documented === true) return undefined;
  return `${path}: ${name} ${documented === false ? 'has no sentence' : 'is not declared'}`;
}

/** One line per public symbol of the module that has no doc comment where it is declared. */
export function undocumented(entry: string, read: ReadFile): readonly string[] {
  const tree = ts.createSourceFile(entry, read(entry) ?? '', ts.ScriptTarget.Latest, true);
  const names = tree.statements.flatMap((node) =>
    ts.isExportDeclaration(node) && node.exportClause !== undefined && ts.isNamedExports(node.exportClause)
      ? node.exportClause.elements.map((one) => one.name.text)
      : [],
  );
  return names.flatMap((name) => problemOf(entry, name, read) ?? []);
}
