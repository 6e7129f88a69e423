/** What `validate`, `plan` and `apply` have in common: their paths, and how they print problems. */
import { type Command, InvalidArgumentError } from 'commander';
import {
  countProblems,
  type Deployments,
  deploymentsOverHttp,
  formatProblem,
  isAcceptable,
  type Problem,
  type SourceFile,
} from '../manifests/index.ts';
import type { CliContext, Settings } from './context.ts';
import { EXIT } from './format-error.ts';

export const DEFAULT_PATHS = ['streams'] as const;

/** The paths as given, else where manifests usually are. */
export const pathsOf = (paths: readonly string[]): readonly string[] => (paths.length === 0 ? DEFAULT_PATHS : paths);

/** Prints problems with excerpts, then their count. Sets exit code 1 when there are errors. */
export function reportProblems(
  ctx: CliContext,
  problems: readonly Problem[],
  sources: readonly SourceFile[] = [],
): void {
  const { out } = ctx;
  if (!isAcceptable(problems)) ctx.exit(EXIT.failed);
  if (out.json) return;
  const texts = new Map(sources.map(({ file, text }) => [file, text]));
  for (const problem of problems) out.note(`${formatProblem(problem, texts.get(problem.place.file ?? ''))}\n`);
  const counted = countProblems(problems);
  if (counted !== undefined) out.note(counted);
}

/** Prefect's deployments, when Prefect is configured. */
export function deploymentsOf(settings: Settings): Deployments | undefined {
  return settings.prefectUrl === undefined
    ? undefined
    : deploymentsOverHttp(settings.prefectUrl, settings.prefectApiKey);
}

function replicas(text: string): number {
  const n = Number(text);
  if (n === 1 || n === 3 || n === 5) return n;
  throw new InvalidArgumentError('it must be 1, 3 or 5');
}

export interface PlanOptions {
  readonly prune: boolean;
  readonly replicas: number;
}

/** Options that change the plan. */
export function addPlanOptions(command: Command): Command {
  return command
    .argument('[paths...]', 'manifest files, or directories of them (default: streams)')
    .option('--prune', 'also remove triggers and workflows that no manifest describes (never a stream)', false)
    .option('--replicas <n>', 'copies of every stream whose manifest does not say: 1, 3 or 5', replicas, 1)
    .option('--json', 'print JSON');
}
