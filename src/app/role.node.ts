/** A long-running process around a composition: signals, the orderly end, the exit code. */
import type { RoleOptions, Settings } from '../cli/index.ts';
import { installShutdown } from '../drivers/index.ts';
import { createTelemetry } from '../telemetry/index.ts';
import { composeController } from './compose.ts';

/**
 * Runs a controller until a signal ends it; the process exits with it.
 * @throws MillraceError what a part that is needed at the start throws; what was opened by then is closed
 */
export async function runControllerRole(settings: Settings, version: string, options: RoleOptions): Promise<void> {
  const { otlpUrl, logLevel } = settings;
  const telemetry = await createTelemetry({ service: 'millrace-controller', version, otlpUrl, logLevel });
  const { log } = telemetry;
  let ended: () => void = () => undefined;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const shutdown = installShutdown({
    report: (message, error) => (error === undefined ? log.info({}, message) : log.error({ err: error }, message)),
    exit: (code) => {
      ended();
      process.exit(code);
    },
  });
  shutdown.onClose('telemetry', () => telemetry.close());
  const httpPort = options.httpPort ?? settings.httpPort;
  try {
    const http = await composeController({
      settings: { ...settings, httpPort },
      telemetry,
      wait: options.wait,
      onClose: (name, close) => shutdown.onClose(name, close),
      onLost: (reason) => {
        if (shutdown.signal.aborted) return; // we closed it
        log.error({}, `${reason}: the controller cannot go on`);
        void shutdown.begin(reason).then(() => process.exit(1));
      },
    });
    log.info({ url: http.url, nats: settings.natsUrl }, `controller is ready; health at ${http.url}`);
  } catch (error) {
    await shutdown.begin('the start failed');
    throw error;
  }
  await end;
}
