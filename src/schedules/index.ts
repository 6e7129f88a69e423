export {
  BACKFILL_OVERLAPS,
  type BackfillOverlap,
  type LineEntry,
  type LineInputBody,
  type LineRef,
  type LineState,
  OVERLAPS,
  type StoredLineEntry,
} from './model/line.ts';
export { type Schedules, type SchedulesOptions, startSchedules } from './service.jetstream.ts';
export { type JetStreamLines, openLines } from './store.jetstream.ts';
export { checkCron, dueTime, isTimeZone, latestTime, nextTime } from './times.ts';
