import ts from 'typescript';
import { lineOf, type SourceFile, visit } from './files.ts';
import { isSource, type Rule } from './rule.ts';

/** Which file names may import what (`name.<technology>.ts`). Types are free: they are gone at run time. */
const TECHNOLOGIES: Readonly<Record<string, readonly RegExp[]>> = {
  nats: [/^nats$/, /^@nats-io\//],
  jetstream: [/^nats$/, /^@nats-io\//],
  kv: [/^nats$/, /^@nats-io\//],
  redis: [/^ioredis$/],
  bullmq: [/^bullmq$/, /^ioredis$/],
  http: [/^hono(\/|$)/, /^@hono\//, /^ws$/],
  ws: [/^ws$/],
  otel: [/^@opentelemetry\//],
  prom: [/^prom-client$/],
  pino: [/^pino$/],
  node: [],
  // Stands in for a server inside the process: it touches nothing.
  memory: [],
};
/** An adapter is not pure anyway: files and timers of Node are open to each of them, other technologies are not. */
const NODE = [/^node:/];

/** Pure packages: values in, values out (croner when it is given the time to count from). `node:crypto`'s hash and `node:util`'s text functions are pure, too. */
const PURE = [/^zod$/, /^yaml$/, /^@marcbachmann\/cel-js$/, /^croner$/, /^node:(crypto|util)$/];
/** The command line is a door of its own: these draw and parse text. */
const CLI = [/^commander$/, /^cli-table3$/, /^picocolors$/];

export function technologyOf(path: string): string | undefined {
  const parts = path.slice(path.lastIndexOf('/') + 1).split('.');
  return parts.length === 3 ? parts[1] : undefined;
}

function isPure(path: string): boolean {
  const technology = technologyOf(path);
  return technology === undefined || technology === 'memory';
}

function mayImport(path: string, name: string): boolean {
  const technology = technologyOf(path);
  const own = technology === undefined ? [] : (TECHNOLOGIES[technology] ?? []);
  const node = isPure(path) ? [] : NODE;
  const cli = path.startsWith('src/cli/') ? CLI : [];
  return [...PURE, ...own, ...node, ...cli].some((pattern) => pattern.test(name));
}

function isTypeOnly(node: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly;
  const clause = node.importClause;
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const named = clause.namedBindings;
  return clause.name === undefined && named !== undefined && ts.isNamedImports(named)
    ? named.elements.every((element) => element.isTypeOnly)
    : false;
}

function checkImports(file: SourceFile): string[] {
  const technology = technologyOf(file.path);
  const found: string[] = [];
  if (technology !== undefined && TECHNOLOGIES[technology] === undefined) {
    found.push(`1: "${technology}" is no technology that test/kit/tidy/technology.ts knows`);
  }
  const refuse = (node: ts.Node, name: string): void => {
    if (name.startsWith('.') || mayImport(file.path, name)) return;
    found.push(`${lineOf(file, node)}: imports "${name}", which its name does not say`);
  };
  visit(file, (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      const { moduleSpecifier } = node;
      if (moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier) && !isTypeOnly(node)) {
        refuse(node, moduleSpecifier.text);
      }
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument !== undefined && ts.isStringLiteral(argument)) refuse(node, argument.text);
    }
  });
  return found;
}

export const fileNameSaysTechnology: Rule = {
  name: 'file-name-says-technology',
  reason:
    'the file name says what the file may touch: name.ts is pure, name.<technology>.ts alone imports that technology',
  applies: isSource,
  check: checkImports,
  bad: { path: 'src/engine/x.ts', text: "import { connect } from 'nats';\nexport const x = connect;\n" },
  good: { path: 'src/engine/x.nats.ts', text: "import { connect } from 'nats';\nexport const x = connect;\n" },
};

/** What a pure file may not reach for: time, chance, the process, the network. */
const AMBIENT = new Set([
  'process',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'fetch',
  'console',
  'performance',
  'Date.now',
  'Math.random',
  'crypto.randomUUID',
  'AbortSignal.timeout',
]);
/** `src/cli/main.ts` is the bin: it is where the process comes in. */
const DOORS = new Set(['src/cli/main.ts']);

function ambientName(node: ts.Node): string | undefined {
  if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0) {
    return 'new Date()';
  }
  if (ts.isPropertyAccessExpression(node) && AMBIENT.has(node.getText())) return node.getText();
  if (!ts.isIdentifier(node) || !AMBIENT.has(node.text)) return undefined;
  const { parent } = node;
  const named = ts.isPropertyAccessExpression(parent) && parent.name === node;
  const declared = 'name' in parent && parent.name === node;
  return named || declared || ts.isTypeQueryNode(parent) || ts.isQualifiedName(parent) ? undefined : node.text;
}

export const pureFilesArePure: Rule = {
  name: 'pure-files-are-pure',
  reason:
    'a plain name.ts sees time, chance, process and network only through a port, so that tests and replay can stand in',
  applies: (path) => isSource(path) && isPure(path) && !DOORS.has(path),
  check(file) {
    const found: string[] = [];
    visit(file, (node) => {
      const name = ambientName(node);
      if (name !== undefined) found.push(`${lineOf(file, node)}: uses ${name}`);
    });
    return found;
  },
  bad: { path: 'src/engine/now.ts', text: 'export const now = (): number => Date.now();\n' },
  good: { path: 'src/engine/now.node.ts', text: 'export const now = (at: number): Date => new Date(at);\n' },
};
