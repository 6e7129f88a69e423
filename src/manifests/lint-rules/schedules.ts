/** Schedules: one way to say when, times that there are, a zone that is known, a payload that can be had. */
import {
  compileExpression,
  type ErrorCode,
  isMillraceError,
  messageOf,
  SCHEDULE_VARIABLES,
  tryParseDuration,
} from '../../kernel/index.ts';
import { checkCron, isTimeZone } from '../../schedules/index.ts';
import { type Finding, finding, type LintRule, type WorkflowManifest } from '../manifest.ts';
import type { ScheduleDocument } from '../schema.ts';
import type { FieldPath } from '../source.ts';

interface Complaint {
  readonly field: FieldPath;
  readonly message: string;
  readonly hint: string;
  readonly code?: ErrorCode;
}

function whenComplaints(one: ScheduleDocument): readonly Complaint[] {
  const { cron, timeZone, every, offset, at, startAt, endAt } = one;
  const ways = [cron, every, at].filter((way) => way !== undefined).length;
  if (ways !== 1) {
    const message =
      ways === 0 ? `schedule "${one.name}" never starts anything` : `schedule "${one.name}" says when in ${ways} ways`;
    return [{ field: [], message, hint: 'give exactly one of cron, every and at' }];
  }
  const found: Complaint[] = [];
  if (timeZone !== undefined && cron === undefined) {
    found.push({
      field: ['timeZone'],
      message: 'a zone means something to cron only',
      hint: 'remove it, or write the offset into the time',
    });
  } else if (timeZone !== undefined && !isTimeZone(timeZone)) {
    found.push({
      field: ['timeZone'],
      message: `there is no time zone "${timeZone}"`,
      hint: 'use a name of the IANA database, for example Europe/Berlin',
    });
  } else if (cron !== undefined) found.push(...cronComplaints(cron, timeZone));
  if (offset !== undefined && every === undefined) {
    found.push({
      field: ['offset'],
      message: 'an offset means something to every only',
      hint: 'remove it, or use every',
    });
  }
  if (startAt !== undefined && endAt !== undefined && Date.parse(endAt) < Date.parse(startAt)) {
    found.push({ field: ['endAt'], message: 'it ends before it starts', hint: 'endAt must not lie before startAt' });
  }
  return found;
}

function cronComplaints(cron: string, timeZone: string | undefined): readonly Complaint[] {
  try {
    checkCron(cron, timeZone);
    return [];
  } catch (error) {
    const hint = isMillraceError(error) ? (error.hint ?? '') : '';
    return [{ field: ['cron'], message: messageOf(error), hint }];
  }
}

function payloadComplaints({ payload, with: members = {} }: ScheduleDocument): readonly Complaint[] {
  const found: Complaint[] = [];
  if (payload !== undefined && Object.keys(members).length > 0) {
    found.push({
      field: ['payload'],
      message: 'payload and with both say what the payload is',
      hint: 'keep one of them',
    });
  }
  for (const [member, source] of Object.entries(members)) {
    try {
      compileExpression(source, SCHEDULE_VARIABLES);
    } catch (error) {
      const hint = `variables here: ${SCHEDULE_VARIABLES.join(', ')}; text needs quotes of its own, for example '"text"'`;
      found.push({ field: ['with', member], message: messageOf(error), hint, code: 'MR_EXPRESSION' });
    }
  }
  return found;
}

function jitterComplaints({ every, jitter }: ScheduleDocument): readonly Complaint[] {
  const [between, most] = [every, jitter].map((text) => (text === undefined ? undefined : tryParseDuration(text)));
  if (between === undefined || most === undefined || most < between) return [];
  return [
    {
      field: ['jitter'],
      message: `a jitter of ${jitter} is as long as the interval`,
      hint: 'make it shorter than every',
    },
  ];
}

const place = (workflow: WorkflowManifest, n: number, { field, ...rest }: Complaint): Finding =>
  finding(workflow, ['spec', 'schedules', n, ...field], { rule: 'schedule', ...rest });

/** What a schedule says that cannot be. */
export const schedules: LintRule = ({ workflows }) =>
  workflows.flatMap((workflow) =>
    workflow.value.spec.schedules.flatMap((one, n) =>
      [...whenComplaints(one), ...payloadComplaints(one), ...jitterComplaints(one)].map((complaint) =>
        place(workflow, n, complaint),
      ),
    ),
  );
