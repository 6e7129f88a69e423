/**
 * The import arrows of docs/architecture.md, held by machine. Each rule says why it is there.
 * `test/arrows.test.ts` proves that each of them can fail.
 */

/** Folders of src from the inside out; each layer may import the layers before it. */
const LAYERS = [
  { folders: ['kernel'] },
  { folders: ['drivers', 'telemetry'] },
  { folders: ['engine'] },
  // Schedules start runs of the engine's; manifests check what they say.
  { folders: ['schedules'] },
  // Flow control: a state machine of its own kind that tells the engine's runs what it decides.
  { folders: ['limits'] },
  // These speak the engine's vocabulary: its definitions, states and inputs.
  { folders: ['manifests', 'worker', 'bridge', 'replay', 'storage', 'identity', 'audit'] },
  // Durable functions make themselves known as definitions (manifests), and commands may come to show or start them.
  { folders: ['functions'] },
  // What users see: one worker and one client for everything, and everything on memory to test with.
  { folders: ['sdk', 'testing'] },
  { folders: ['agents', 'console', 'cli'] },
  // The one composition root: it knows everybody, nobody knows it.
  { folders: ['app'] },
];

function arrows() {
  const inner = [];
  return LAYERS.map(({ folders }) => {
    const allowed = [...inner];
    inner.push(...folders);
    const own = folders.join('|');
    return {
      name: `arrow-${folders.join('-')}`,
      comment: `Imports point inwards: src/${own} may import only ${allowed.join(', ') || 'itself'}. An arrow back makes both sides one lump that cannot be tested or replaced alone.`,
      severity: 'error',
      // The bin of the package is a door, not a part of cli: it only starts app.
      from: { path: `^src/(${own})/`, pathNot: '^src/cli/main\\.ts$' },
      // Siblings of one layer do not know each other either.
      to: { path: '^src/([^/]+)/', pathNot: [`^src/(${[...allowed, '$1'].join('|')})/`] },
    };
  });
}

module.exports = {
  forbidden: [
    {
      name: 'no-cycle',
      comment: 'A cycle means that no part of it can be understood, tested or loaded alone.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphan',
      comment: 'A module that nothing imports is dead; delete it, or export it from its index.ts.',
      severity: 'error',
      from: {
        orphan: true,
        path: '^src/',
        pathNot: ['^src/index\\.ts$', '^src/testing/index\\.ts$', '^src/cli/main\\.ts$'],
      },
      to: {},
    },
    {
      name: 'not-to-unresolvable',
      comment: 'It would fail at run time.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'model-is-pure',
      comment:
        'decide, evolve and react run live, in recovery, in replay and in tests; they know the kernel and zod only.',
      severity: 'error',
      from: { path: '^src/engine/model/' },
      to: { pathNot: ['^src/engine/model/', '^src/kernel/index\\.ts$', '^node_modules/zod/'] },
    },
    {
      name: 'model-by-its-index',
      comment:
        'Inside the engine, too, the model is reached through its index.ts, so that what it promises is written in one place.',
      severity: 'error',
      from: { path: '^src/engine/(?!model/)' },
      to: { path: '^src/engine/model/', pathNot: '^src/engine/model/index\\.ts$' },
    },
    {
      name: 'only-by-index',
      comment:
        "Across folders only index.ts is imported: a folder's explicit exports are its contract, the rest is free to change.",
      severity: 'error',
      from: { path: '^src/([^/]+)/' },
      to: { path: '^src/[^/]+/', pathNot: ['^src/$1/', '^src/[^/]+/index\\.ts$'] },
    },
    {
      name: 'src-stands-alone',
      comment: 'What is shipped cannot lean on what is not.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|ops|bench)/' },
    },
    {
      name: 'no-dev-dependency-in-src',
      comment: 'A user who installs the package does not get devDependencies.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'type-only'] },
    },
    {
      name: 'no-undeclared-dependency',
      comment: 'A package that package.json does not name works here by accident.',
      severity: 'error',
      from: { path: '^(src|ops|bench)/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    ...arrows(),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json', '.d.ts'],
    },
    skipAnalysisNotInRules: true,
  },
};
