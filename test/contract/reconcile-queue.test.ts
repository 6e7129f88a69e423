import { memoryQueue } from '../../src/bridge/index.ts';
import { systemClock } from '../../src/drivers/index.ts';
import { noTelemetry } from '../../src/telemetry/index.ts';
import { reconcileQueueContract } from './reconcile-queue.ts';

reconcileQueueContract('memory', async () => memoryQueue(systemClock, noTelemetry));
