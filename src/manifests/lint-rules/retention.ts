/** `retention`: ages that can be kept, and that mean something. */
import { SHORTEST_RETENTION_MS } from '../../engine/index.ts';
import { parseDuration } from '../../kernel/index.ts';
import { finding, type LintRule } from '../manifest.ts';

const SHORTEST = `${SHORTEST_RETENTION_MS / 60_000}m`;
const OUTCOMES = ['completed', 'failed', 'cancelled'] as const;

/** No age is below the duplicate window, and there is one at all. */
export const retentionAges: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) => {
    const { retention } = workflow.value.spec;
    if (retention === undefined) return [];
    const given = OUTCOMES.filter((outcome) => retention[outcome] !== undefined);
    if (given.length === 0) {
      const message = 'retention names no age, so nothing is ever purged';
      const hint = 'give at least one of completed, failed, cancelled, for example completed: 7d';
      return [finding(workflow, ['spec', 'retention'], { rule: 'idle-retention', message, hint, target: 'key' })];
    }
    return given.flatMap((outcome) => {
      const age = retention[outcome] ?? '';
      if (parseDuration(age) >= SHORTEST_RETENTION_MS) return [];
      const message = `runs that are ${outcome} are kept for ${age}, which is less than ${SHORTEST}`;
      const hint = `keep them for ${SHORTEST} at least: a start that comes twice within that time must find its run`;
      return [finding(workflow, ['spec', 'retention', outcome], { rule: 'short-retention', message, hint })];
    });
  });
