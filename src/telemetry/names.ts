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

export const METRICS: Readonly<Record<string, MetricDeclaration>> = {
  millrace_http_requests_total: counter('Requests to the health server', 'path', 'status'),
  millrace_info: gauge('Always 1; says which version this process runs', 'version'),
  millrace_ready: gauge('1 when every part this process needs answers', 'part'),
};
void histogram;
