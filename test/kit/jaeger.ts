/** Reads traces back from Jaeger's own API. */
import { z } from 'zod';

const responseSchema = z.object({
  data: z.array(
    z.object({
      processes: z.record(z.string(), z.object({ serviceName: z.string() })),
      spans: z.array(
        z.object({
          spanID: z.string(),
          operationName: z.string(),
          processID: z.string(),
          references: z.array(z.object({ refType: z.string(), traceID: z.string(), spanID: z.string() })),
        }),
      ),
    }),
  ),
});

export interface TraceSpan {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  /** Span id of the parent, in this trace or (for the first span) outside it. */
  readonly parent: string | undefined;
}

/** The trace's spans once `complete` says that all have come; exporters send in batches, so it asks again. */
export async function readTrace(
  jaegerUrl: string,
  traceId: string,
  complete: (spans: readonly TraceSpan[]) => boolean,
): Promise<readonly TraceSpan[]> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const response = await fetch(`${jaegerUrl}/api/traces/${traceId}`, { signal: AbortSignal.timeout(10_000) });
    const spans = response.ok ? spansOf(responseSchema.parse(await response.json())) : [];
    if (complete(spans)) return spans;
    if (Date.now() > deadline) {
      throw new Error(`the trace ${traceId} is not complete: ${spans.map((span) => span.name).join(', ') || 'empty'}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function spansOf({ data }: z.infer<typeof responseSchema>): TraceSpan[] {
  return data.flatMap((trace) =>
    trace.spans.map((span) => ({
      id: span.spanID,
      name: span.operationName,
      service: trace.processes[span.processID]?.serviceName ?? '',
      parent: span.references.find((ref) => ref.refType === 'CHILD_OF')?.spanID,
    })),
  );
}
