import type { Rule } from './rule.ts';
import { fileLength, functionLength } from './size.ts';
import { fileNameSaysTechnology, pureFilesArePure } from './technology.ts';
import {
  noAny,
  noFocusedTests,
  noLeftovers,
  noMachinePaths,
  noRegistryHosts,
  noResolved,
  noSilencers,
  noSleepInTests,
} from './words.ts';

export { ROOT, repositoryFiles, type SourceFile } from './files.ts';
export type { Rule } from './rule.ts';

/** The house rules. Biome and dependency-cruiser hold what they can; these are the rest. */
export const RULES: readonly Rule[] = [
  fileLength,
  functionLength,
  fileNameSaysTechnology,
  pureFilesArePure,
  noAny,
  noSilencers,
  noSleepInTests,
  noFocusedTests,
  noRegistryHosts,
  noResolved,
  noMachinePaths,
  noLeftovers,
];
