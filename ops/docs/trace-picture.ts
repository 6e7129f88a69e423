/**
 * Draws one trace, as Jaeger's API gives it, into docs/images/trace.svg: the picture of the README is a real run.
 *
 *   node --import tsx ops/docs/trace-picture.ts <jaeger url> <trace id> [file]
 */
import { writeFile } from 'node:fs/promises';
import { z } from 'zod';

const traceSchema = z.object({
  data: z
    .array(
      z.object({
        processes: z.record(z.string(), z.object({ serviceName: z.string() })),
        spans: z.array(
          z.object({
            spanID: z.string(),
            operationName: z.string(),
            /** Microseconds. */
            startTime: z.number(),
            duration: z.number(),
            processID: z.string(),
            references: z.array(z.object({ refType: z.string(), spanID: z.string() })),
          }),
        ),
      }),
    )
    .min(1),
});
type Trace = z.infer<typeof traceSchema>['data'][number];
type Span = Trace['spans'][number];

const COLOURS = ['#1d4ed8', '#a16207', '#15803d', '#a21caf', '#be123c', '#0e7490', '#4d7c0f'];
const ROW = 24;
const LEFT = 330;
const WIDTH = 640;
const TOP = 44;

interface Row {
  readonly span: Span;
  readonly depth: number;
}

/** Spans as rows, parents before children, siblings by start. */
function rowsOf(spans: readonly Span[]): Row[] {
  const ids = new Set(spans.map((span) => span.spanID));
  const parentOf = (span: Span): string | undefined =>
    span.references.find((ref) => ref.refType === 'CHILD_OF' && ids.has(ref.spanID))?.spanID;
  const walk = (parent: string | undefined, depth: number): Row[] =>
    spans
      .filter((span) => parentOf(span) === parent)
      .sort((a, b) => a.startTime - b.startTime)
      .flatMap((span) => [{ span, depth }, ...walk(span.spanID, depth + 1)]);
  return walk(undefined, 0);
}

const escapeXml = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

function formatMs(us: number): string {
  return us < 1_000_000 ? `${(us / 1_000).toFixed(1)} ms` : `${(us / 1_000_000).toFixed(2)} s`;
}

/** The trace as an SVG waterfall. */
export function drawTrace(trace: Trace): string {
  const rows = rowsOf(trace.spans);
  const start = Math.min(...trace.spans.map((span) => span.startTime));
  const end = Math.max(...trace.spans.map((span) => span.startTime + span.duration));
  const services = [...new Set(Object.values(trace.processes).map((process) => process.serviceName))].sort();
  const x = (time: number): number => LEFT + ((time - start) / Math.max(1, end - start)) * WIDTH;
  const body = rows.map(({ span, depth }, index) => {
    const y = TOP + index * ROW;
    const service = trace.processes[span.processID]?.serviceName ?? '';
    const colour = COLOURS[services.indexOf(service) % COLOURS.length];
    const width = Math.max(2, x(span.startTime + span.duration) - x(span.startTime));
    return [
      `<text x="${12 + depth * 14}" y="${y + 14}" class="n">${escapeXml(span.operationName)}</text>`,
      `<rect x="${x(span.startTime).toFixed(1)}" y="${y + 4}" width="${width.toFixed(1)}" height="13" rx="2" fill="${colour}"/>`,
      `<text x="${LEFT + WIDTH + 10}" y="${y + 14}" class="d">${formatMs(span.duration)}</text>`,
    ].join('');
  });
  const legend = services.map((service, index) => {
    const at = 12 + index * 190;
    return `<rect x="${at}" y="14" width="11" height="11" rx="2" fill="${COLOURS[index % COLOURS.length]}"/><text x="${at + 17}" y="24" class="d">${escapeXml(service)}</text>`;
  });
  const height = TOP + rows.length * ROW + 12;
  const total = LEFT + WIDTH + 90;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${total} ${height}" width="${total}" height="${height}" role="img" aria-label="One run as one trace">
<style>text{font-family:ui-sans-serif,system-ui,Segoe UI,Helvetica,Arial,sans-serif;fill:#0f172a}.n{font-size:12.5px}.d{font-size:12px;fill:#475569}</style>
<rect width="${total}" height="${height}" fill="#ffffff"/>
${legend.join('\n')}
${body.join('\n')}
</svg>
`;
}

async function main([jaeger, traceId, file = 'docs/images/trace.svg']: string[]): Promise<void> {
  if (jaeger === undefined || traceId === undefined) {
    console.error('usage: node --import tsx ops/docs/trace-picture.ts <jaeger url> <trace id> [file]');
    process.exitCode = 2;
    return;
  }
  const response = await fetch(new URL(`/api/traces/${traceId}`, jaeger), { signal: AbortSignal.timeout(10_000) });
  const [trace] = traceSchema.parse(await response.json()).data;
  if (trace !== undefined) await writeFile(file, drawTrace(trace));
  console.log(`wrote ${file}`);
}

if (import.meta.url === `file://${process.argv[1]}`) await main(process.argv.slice(2));
