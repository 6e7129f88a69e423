/** Triggers: their stream exists, carries their subject, and lets several consumers read it. */
import { systemAssets } from '../../engine/index.ts';
import { STREAMS, tryParseDuration } from '../../kernel/index.ts';
import { type Finding, finding, type LintContext, type LintRule } from '../manifest.ts';
import { nearest } from '../nearest.ts';
import { covers, overlaps } from '../subject-match.ts';

/** Our own streams that anyone may bind to. The others are work queues or belong to one reader. */
const OPEN_STREAMS: ReadonlySet<string> = new Set([STREAMS.events, STREAMS.dead, STREAMS.advisories]);

/** Subjects of the stream, as far as anybody knows. */
function subjectsOf(context: LintContext, stream: string): readonly string[] | undefined {
  const manifest = context.streams.find((candidate) => candidate.value.metadata.name === stream);
  if (manifest !== undefined) return manifest.value.spec.subjects;
  const own = systemAssets().streams.find((asset) => asset.name === stream);
  return own?.subjects ?? context.liveStreams?.get(stream);
}

function lookAtStream(context: LintContext, stream: string): Omit<Parameters<typeof finding>[2], 'rule'> | undefined {
  if (/^(MR|WF)_/.test(stream) && !OPEN_STREAMS.has(stream)) {
    return {
      message: `stream ${stream} is Millrace's own and has its one reader`,
      hint: `to start a run from what happens to another, bind to ${STREAMS.events} (evt.run.<workflow>.*.completed)`,
    };
  }
  if (context.unreadableStreams.has(stream) || subjectsOf(context, stream) !== undefined) return undefined;
  const near = nearest(stream, [...context.streams.map((s) => s.value.metadata.name), ...OPEN_STREAMS]);
  return {
    severity: 'warning',
    message: `no manifest describes stream "${stream}"`,
    hint: `${near === undefined ? '' : `did you mean "${near}"? `}add a Stream manifest, or make sure that it exists on the server before you apply`,
  };
}

/** A trigger on a stream that nobody describes, or that is not open. */
export const triggerStreams: LintRule = (context) =>
  context.workflows.flatMap((workflow) =>
    workflow.value.spec.triggers.flatMap((trigger, n): readonly Finding[] => {
      const found = lookAtStream(context, trigger.stream);
      return found === undefined
        ? []
        : [finding(workflow, ['spec', 'triggers', n, 'stream'], { rule: 'trigger-stream', ...found })];
    }),
  );

/** A trigger whose subject its stream never carries. */
export const triggerSubjects: LintRule = (context) =>
  context.workflows.flatMap((workflow) =>
    workflow.value.spec.triggers.flatMap((trigger, n): readonly Finding[] => {
      const subjects = subjectsOf(context, trigger.stream);
      if (subjects === undefined || subjects.some((subject) => covers(subject, trigger.subject))) return [];
      const partly = subjects.some((subject) => overlaps(subject, trigger.subject));
      const verb = partly ? 'carries only a part of' : 'does not carry';
      return [
        finding(workflow, ['spec', 'triggers', n, 'subject'], {
          rule: 'trigger-subject',
          message: `stream ${trigger.stream} ${verb} "${trigger.subject}"`,
          hint: `its subjects are ${subjects.join(', ')}; narrow the trigger or widen the stream`,
        }),
      ];
    }),
  );

/** A trigger gathers in one way, and its runs are named by its messages. */
export const gatheringTriggers: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) =>
    workflow.value.spec.triggers.flatMap(({ key, debounce, batch }, n): readonly Finding[] => {
      const found = (field: string, message: string, hint: string): readonly Finding[] => [
        finding(workflow, ['spec', 'triggers', n, field], { rule: 'gathering', message, hint, target: 'key' }),
      ];
      if (debounce !== undefined && batch !== undefined) {
        return found('batch', 'a trigger cannot both debounce and batch', 'make two triggers, or choose one');
      }
      const gathers = debounce !== undefined ? 'debounce' : batch !== undefined ? 'batch' : undefined;
      if (gathers !== undefined && key !== undefined) {
        return found(
          'key',
          `key names a run; with ${gathers} its messages do`,
          `write ${gathers}: {key: …} to gather by it`,
        );
      }
      const { wait = '', max = '' } = debounce ?? {};
      if ((tryParseDuration(max) ?? Number.POSITIVE_INFINITY) >= (tryParseDuration(wait) ?? 0)) return [];
      return [
        finding(workflow, ['spec', 'triggers', n, 'debounce', 'max'], {
          rule: 'gathering',
          message: 'max is shorter than wait',
          hint: 'max limits how long messages that keep coming can put the run off',
        }),
      ];
    }),
  );

/** Two triggers that would read the same messages of a work queue, where each message has one reader. */
export const workQueueTriggers: LintRule = (context) => {
  const all = context.workflows.flatMap((workflow) =>
    workflow.value.spec.triggers.map((trigger, n) => ({ workflow, trigger, n })),
  );
  return all.flatMap(({ workflow, trigger, n }, index): readonly Finding[] => {
    const stream = context.streams.find((candidate) => candidate.value.metadata.name === trigger.stream);
    if (stream?.value.spec.retention !== 'workqueue') return [];
    const other = all
      .slice(0, index)
      .find((e) => e.trigger.stream === trigger.stream && overlaps(e.trigger.subject, trigger.subject));
    if (other === undefined) return [];
    return [
      finding(workflow, ['spec', 'triggers', n, 'subject'], {
        rule: 'workqueue-overlap',
        message: `"${trigger.subject}" overlaps trigger "${other.trigger.name}" of ${other.workflow.value.metadata.name} on the work queue ${trigger.stream}`,
        hint: 'a message of a work queue has one reader; use retention: limits, or triggers that do not overlap',
      }),
    ];
  });
};
