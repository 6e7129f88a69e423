import { describe, expect, test } from 'vitest';
import { MillraceError } from '../../../src/kernel/index.ts';
import { createTelemetry, METRICS, metricName } from '../../../src/telemetry/index.ts';
import { pinoLogger, plainLine } from '../../../src/telemetry/logger.pino.ts';
import { promMetrics } from '../../../src/telemetry/metrics.prom.ts';
import { repositoryFiles } from '../../kit/tidy/index.ts';

const USE = /metrics\??\.\s*(count|gauge|observe)\(\s*(['"`])([a-z_]+)\2/g;
const KIND = { count: 'counter', gauge: 'gauge', observe: 'histogram' } as const;

/** Every use of a metric by its name in the sources. */
const uses = repositoryFiles()
  .filter(({ path }) => path.startsWith('src/') && !path.startsWith('src/telemetry/'))
  .flatMap(({ path, text }) =>
    [...text.matchAll(USE)].map(([, call = '', , name = '']) => ({
      path,
      call: call as keyof typeof KIND,
      name: metricName(name),
    })),
  );

describe('metric names', () => {
  test('the scan finds uses at all', () => expect(uses.length).toBeGreaterThan(10));

  test('every metric that is used is declared, as what it is used for', () => {
    const wrong = uses.filter(({ name, call }) => METRICS[name]?.kind !== KIND[call]);
    expect(wrong).toEqual([]);
  });

  test('every metric that is declared is used', () => {
    const used = new Set(uses.map(({ name }) => name));
    const own = new Set(['millrace_info']); // set by createTelemetry
    expect(Object.keys(METRICS).filter((name) => !used.has(name) && !own.has(name))).toEqual([]);
  });

  test('names and help follow the rules of Prometheus', () => {
    for (const [name, { kind, help }] of Object.entries(METRICS)) {
      expect(name).toMatch(/^millrace_[a-z_]+$/);
      expect(name.endsWith('_total'), name).toBe(kind === 'counter');
      expect(name.endsWith('_seconds'), name).toBe(kind === 'histogram');
      expect(help).toMatch(/^[A-Z1].+[^.]$/);
    }
  });
});

describe('metrics', () => {
  test('count, set and observe', async () => {
    const metrics = promMetrics({ service: 's', nodeMetrics: false });
    metrics.count('reconcile_total', { outcome: 'done' });
    metrics.count('millrace_reconcile_total', { outcome: 'done' }, 2);
    metrics.gauge('millrace_open_flows', 7);
    metrics.observe('millrace_sweep_seconds', 0.02);
    const text = await metrics.text();
    expect(text).toContain('millrace_reconcile_total{outcome="done",service="s"} 3');
    expect(text).toContain('millrace_open_flows{service="s"} 7');
    expect(text).toContain('millrace_sweep_seconds_count{service="s"} 1');
    expect(text).toContain('millrace_sweep_seconds_bucket{le="0.025",service="s"} 1');
  });

  test('never throw: unknown labels are dropped, unknown names counted, wrong calls ignored', async () => {
    const metrics = promMetrics({ service: 's', nodeMetrics: false });
    metrics.count('millrace_reconcile_total', { outcome: 'done', stranger: 'x' });
    metrics.count('nobody_knows_total', { a: 'b' });
    metrics.gauge('millrace_reconcile_total', 1);
    const text = await metrics.text();
    expect(text).toContain('millrace_reconcile_total{outcome="done",service="s"} 1');
    expect(text).toContain('millrace_nobody_knows_total{a="b",service="s"} 1');
  });

  test('two processes’ worth of telemetry in one process do not meet', async () => {
    const one = await createTelemetry({ service: 'one', logLevel: 'silent', version: '1.2.3' });
    const two = await createTelemetry({ service: 'two', logLevel: 'silent' });
    one.metrics.gauge('millrace_open_flows', 1);
    expect(await one.metricsText()).toContain('millrace_info{version="1.2.3",service="one"} 1');
    expect(await one.metricsText()).toContain('millrace_nodejs_version_info');
    expect(await two.metricsText()).not.toContain('service="one"');
    await Promise.all([one.close(), two.close()]);
  });
});

describe('the log', () => {
  function logged(level: string): { lines: string[]; log: ReturnType<typeof pinoLogger> } {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    return { lines, log: pinoLogger({ service: 's', level, destination }) };
  }

  test('writes JSON lines: fields, sentence, service, level and time', () => {
    const { lines, log } = logged('info');
    log.child({ run: 'r1' }).warn({ step: 'load' }, 'it is late');
    log.debug({}, 'not at this level');
    expect(lines).toHaveLength(1);
    const { time, pid, ...rest } = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    expect(rest).toEqual({ level: 40, service: 's', run: 'r1', step: 'load', msg: 'it is late' });
    expect(new Date(String(time)).getTime()).toBeGreaterThan(0);
    expect(pid).toBe(process.pid);
  });

  test('writes errors with code and hint', () => {
    const { lines, log } = logged('info');
    log.error({ error: new MillraceError('MR_NATS', 'gone', { hint: 'look' }) }, 'failed');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ error: { code: 'MR_NATS', message: 'gone', hint: 'look' } });
  });

  test('for people: a plain line', () => {
    const line = JSON.stringify({
      level: 30,
      time: '2026-01-02T03:04:05.678Z',
      service: 's',
      pid: 1,
      run: 'r1',
      n: 2,
      msg: 'hello',
    });
    expect(plainLine(line)).toBe('03:04:05.678 info  hello run=r1 n=2\n');
  });
});
