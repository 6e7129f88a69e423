/**
 * The composition root of a controller: door → streams → definitions → journal → bridge → engine → health.
 *
 * Boundary: the only place that knows all parts. What was opened is handed to `onClose` at once, so that a start that
 * fails half way leaves nothing open. The health server comes first: a port in use must be found before anything is touched.
 */
import { type Bridge, startBridge } from '../bridge/index.ts';
import type { Settings } from '../cli/index.ts';
import { type Check, connectNats, type HttpServer, startHttp } from '../drivers/index.ts';
import { openJournal, startController, systemAssets } from '../engine/index.ts';
import { startLimits } from '../limits/index.ts';
import { ensureAssets, openDefinitions } from '../manifests/index.ts';
import { startSchedules } from '../schedules/index.ts';
import { startJanitor } from '../storage/index.ts';
import type { ProcessTelemetry } from '../telemetry/index.ts';
import { degradable, starting } from './health.ts';

export interface ControllerParts {
  readonly settings: Settings;
  readonly telemetry: ProcessTelemetry;
  /** Keep trying while NATS does not answer at first. */
  readonly wait: boolean;
  /** Told of everything that was opened, in order. */
  onClose(name: string, close: () => Promise<void>): void;
  /** Called when the process cannot go on, with the reason. */
  onLost(reason: string): void;
}

/**
 * Starts a controller.
 * @throws MillraceError MR_PORT_IN_USE, MR_NATS_UNREACHABLE, MR_NATS_AUTH, MR_NATS_TOO_OLD, MR_NATS
 */
export async function composeController(parts: ControllerParts): Promise<HttpServer> {
  const { settings, telemetry, onClose } = parts;
  const { log } = telemetry;
  let checks: () => Promise<readonly Check[]> = async () => starting;
  const http = await startHttp({
    port: settings.httpPort,
    health: () => checks(),
    metrics: () => telemetry.metricsText(),
  });
  onClose('health server', () => http.close());

  const door = await connectNats({
    url: settings.natsUrl,
    name: 'millrace-controller',
    token: settings.natsToken,
    credsFile: settings.natsCreds,
    groupCommit: settings.groupCommit,
    waitOnFirstConnect: parts.wait,
  });
  onClose('NATS', () => door.close());
  void door.nc.closed().then((error) => parts.onLost(`NATS closed the connection${error ? `: ${error.message}` : ''}`));

  const created = await ensureAssets(door.nc, systemAssets());
  if (created.streams.length > 0) log.info({ streams: created.streams }, 'created what was missing');
  const definitions = await openDefinitions(door.nc);
  const report = (message: string, error?: unknown): void =>
    log.warn(error === undefined ? {} : { err: error }, message);
  const journal = openJournal(door, { report });
  onClose('journal', async () => journal.close());

  const bridge = await openBridge(parts, { door, journal, definitions });
  // Without Prefect its steps wait; the sweep of a controller that has one finds them.
  const controller = await startController({ door, definitions, queue: bridge?.queue, telemetry });
  onClose('controller', () => controller.stop());
  const limits = startLimits({ door, journal, telemetry });
  onClose('limits', () => limits.stop());

  const janitor = await startJanitor({ door, definitions, telemetry });
  onClose('janitor', () => janitor.stop());

  const schedules = await startSchedules({ door, definitions, journal, telemetry });
  onClose('schedules', () => schedules.stop());

  const limitsCheck = (): Check => ({
    name: 'limits',
    ok: limits.bound,
    detail: limits.bound ? 'its consumer is bound' : 'its consumer cannot be had; run `millrace apply`',
  });
  checks = async () => [
    ...(await controller.checks()),
    limitsCheck(),
    ...(await schedules.checks()),
    ...degradable((await bridge?.checks()) ?? []),
  ];
  return http;
}

type BridgeParts = Pick<Parameters<typeof startBridge>[0], 'door' | 'journal' | 'definitions'>;

async function openBridge(
  { settings, telemetry, onClose }: ControllerParts,
  opened: BridgeParts,
): Promise<Bridge | undefined> {
  const { prefectUrl, prefectApiKey, prefectEvents, redisUrl } = settings;
  if (prefectUrl === undefined) return undefined;
  const bridge = await startBridge({
    ...opened,
    prefectUrl,
    apiKey: prefectApiKey,
    events: prefectEvents,
    redisUrl,
    telemetry,
  });
  onClose('bridge', () => bridge.stop());
  return bridge;
}
