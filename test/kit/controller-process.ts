/** A controller in a process of its own, for tests that kill it: `controller-process.ts <url>`. */
import { connectNats } from '../../src/drivers/index.ts';
import { openJournal, startController } from '../../src/engine/index.ts';
import { startLimits } from '../../src/limits/index.ts';
import { openDefinitions } from '../../src/manifests/index.ts';
import { noTelemetry as telemetry } from '../../src/telemetry/index.ts';

const [url] = process.argv.slice(2);
if (url !== undefined && import.meta.url === `file://${process.argv[1]}`) {
  const door = await connectNats({ url, name: 'controller-process' });
  await startController({ door, definitions: await openDefinitions(door.nc), telemetry });
  startLimits({ door, journal: openJournal(door), telemetry, sweepMs: 500 });
  console.log('running');
}
