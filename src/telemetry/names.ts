/** Every metric of the project: its name, what it means, its labels and buckets. docs/telemetry.md is checked against it. */

export interface MetricDeclaration {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds in seconds. */
  readonly buckets?: readonly number[];
}

const PREFIX = 'millrace_';

/** The full name: the prefix is added when it is missing. */
export const metricName = (name: string): string => (name.startsWith(PREFIX) ? name : `${PREFIX}${name}`);

/** For calls between parts of one machine room. */
export const SECONDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

const counter = (help: string, ...labels: string[]): MetricDeclaration => ({ kind: 'counter', help, labels });
const gauge = (help: string, ...labels: string[]): MetricDeclaration => ({ kind: 'gauge', help, labels });
const histogram = (help: string, ...labels: string[]): MetricDeclaration => ({
  kind: 'histogram',
  help,
  labels,
  buckets: SECONDS,
});

/** From a message to the end of a run: seconds to hours. */
const LONG: readonly number[] = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];

export const METRICS: Readonly<Record<string, MetricDeclaration>> = {
  // every process
  millrace_info: gauge('Always 1; says which version this process runs', 'version'),
  // the engine
  millrace_engine_inputs_total: counter('Inputs handled, by what became of them', 'workflow', 'outcome'),
  millrace_engine_input_seconds: histogram('Time from delivery of an input to its acknowledgement', 'workflow'),
  millrace_engine_conflicts_total: counter('Appends that another controller was faster with', 'workflow'),
  millrace_engine_lookups_total: counter('Times the earlier inputs of a run had to be looked up', 'workflow'),
  millrace_engine_timers_fired_total: counter('Timers that fired and became inputs', 'workflow'),
  millrace_engine_hints_lost_total: counter(
    'Hints that could not be sent; the sweep or the fence makes up for them',
    'kind',
  ),
  millrace_limits_held: gauge(
    'Slots of a limit that are held, over those of its keys that this process has seen',
    'limit',
  ),
  millrace_limits_waiting: gauge('Asks that wait for a slot, over the keys that this process has seen', 'limit'),
  millrace_limits_wait_seconds: {
    ...histogram('Time from an ask to its grant', 'limit'),
    buckets: LONG,
  },
  millrace_limits_decided_total: counter('Asks decided, by what became of them', 'limit', 'outcome'),
  millrace_functions_ended_total: counter('Runs of durable functions that ended here, by how', 'workflow', 'outcome'),
  millrace_functions_resumed_total: counter(
    'Runs of durable functions taken over by replaying their journal',
    'workflow',
  ),
  millrace_functions_lost_total: counter('Executions that found another worker in the log and let go', 'workflow'),
  millrace_trigger_messages_total: counter('Source messages, by what became of them', 'workflow', 'trigger', 'outcome'),
  millrace_schedule_times_total: counter(
    'Starts of schedules and replaced keys, by why (time, trigger, backfill, replace) or skipped',
    'workflow',
    'schedule',
    'outcome',
  ),
  millrace_schedule_lag_seconds: {
    ...histogram('Time from a start being due to its being decided', 'workflow'),
    buckets: LONG,
  },
  millrace_exhausted_total: counter('Deliveries the server gave up', 'kind'),
  // retention
  millrace_retention_runs_total: counter(
    'Runs purged because their time had come, by how they ended',
    'workflow',
    'status',
  ),
  millrace_retention_bytes_total: counter('Bytes of the messages of purged runs', 'workflow'),
  millrace_retention_behind: gauge('Seconds by which the longest waiting run is overdue', 'workflow'),
  millrace_retention_sweep_seconds: histogram('Time of one round of purging', 'workflow'),
  millrace_retention_failures_total: counter('Rounds of purging that failed; the next one begins anew', 'workflow'),
  // workers
  millrace_worker_running: gauge('Attempts under way in this worker', 'queue', 'handler'),
  millrace_worker_attempts_total: counter('Attempts this worker has ended', 'queue', 'handler', 'outcome'),
  millrace_worker_attempt_seconds: {
    ...histogram('Time from taking an attempt to its stored report', 'handler'),
    buckets: LONG,
  },
  // the bridge to Prefect
  millrace_reconcile_drift_total: counter('Differences between a log and Prefect that were repaired', 'class'),
  millrace_prefect_requests_total: counter("Requests to Prefect's API", 'op', 'result'),
  millrace_prefect_events_total: counter("Flow run events read from Prefect's event socket", 'type'),
  millrace_prefect_events_lost_total: counter('Events that could be neither stored nor queued; the sweep repairs them'),
  millrace_prefect_socket_connected: gauge("1 while Prefect's event socket is open"),
  millrace_prefect_socket_reconnects_total: counter("Times Prefect's event socket had to be opened again"),
  millrace_reconcile_total: counter('Looks at both sides of a flow run, by how they ended', 'outcome'),
  millrace_reconcile_seconds: histogram('Time of one look at both sides'),
  millrace_reconcile_actions_total: counter('What the reconciler did to bring both sides together', 'action'),
  millrace_reconcile_queue_errors_total: counter('Calls of the reconcile queue that failed', 'where'),
  millrace_sweep_total: counter('Sweeps over all open flow runs', 'result'),
  millrace_sweep_seconds: histogram('Time of one sweep'),
  millrace_sweep_enqueued_total: counter('Keys a sweep found to be looked at'),
  millrace_open_flows: gauge('Attempts of Prefect steps that are open'),
};
