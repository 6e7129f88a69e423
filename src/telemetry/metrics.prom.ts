/** Metrics over prom-client: one registry per process, the declared metrics of names.ts, Node's own beside them. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { METRICS, type MetricDeclaration, metricName, SECONDS } from './names.ts';
import type { Labels, Metrics } from './port.ts';

export interface PromMetrics extends Metrics {
  /** Everything in Prometheus' text format. */
  text(): Promise<string>;
}

type Instrument = Counter | Gauge | Histogram;

/** Only declared labels reach the client, which throws on others; a metric must never break the work it counts. */
function known(declared: readonly string[], labels: Labels | undefined): Record<string, string> {
  if (labels === undefined) return {};
  return Object.fromEntries(Object.entries(labels).filter(([name]) => declared.includes(name)));
}

/** @param options.nodeMetrics false leaves Node's own metrics out (for tests) */
export function promMetrics(options: { readonly service: string; readonly nodeMetrics?: boolean }): PromMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: options.service });
  if (options.nodeMetrics !== false) collectDefaultMetrics({ register: registry, prefix: 'millrace_' });
  const instruments = new Map<string, { readonly instrument: Instrument; readonly labels: readonly string[] }>();

  function make(name: string, declared: MetricDeclaration): Instrument {
    const base = { name, help: declared.help, labelNames: [...declared.labels], registers: [registry] };
    switch (declared.kind) {
      case 'counter':
        return new Counter(base);
      case 'gauge':
        return new Gauge(base);
      case 'histogram':
        return new Histogram({ ...base, buckets: [...(declared.buckets ?? SECONDS)] });
    }
  }

  function find(short: string, kind: MetricDeclaration['kind'], labels: Labels | undefined) {
    const name = metricName(short);
    let found = instruments.get(name);
    if (found === undefined) {
      // A name that names.ts does not know still counts; test/unit/telemetry finds such names in the sources.
      const declared = METRICS[name] ?? { kind, help: `${name} (not declared)`, labels: Object.keys(labels ?? {}) };
      found = { instrument: make(name, declared), labels: declared.labels };
      instruments.set(name, found);
    }
    return found;
  }

  for (const name of Object.keys(METRICS)) find(name, 'counter', undefined);
  return {
    count(name, labels, by = 1) {
      const { instrument, labels: declared } = find(name, 'counter', labels);
      if (instrument instanceof Counter) instrument.inc(known(declared, labels), by);
    },
    gauge(name, value, labels) {
      const { instrument, labels: declared } = find(name, 'gauge', labels);
      if (instrument instanceof Gauge) instrument.set(known(declared, labels), value);
    },
    observe(name, seconds, labels) {
      const { instrument, labels: declared } = find(name, 'histogram', labels);
      if (instrument instanceof Histogram) instrument.observe(known(declared, labels), seconds);
    },
    text: () => registry.metrics(),
  };
}
