/**
 * The process in which one system is measured: its client and its worker live here, its servers beside it. It is forked by
 * client.ts, does one request at a time, and ends with the channel to its parent.
 */
import { rm } from 'node:fs/promises';
import * as measure from './measure.ts';
import type { About, Operation, OptionsOf, Request, Response, ResultOf, StartOptions } from './protocol.ts';
import type { StartSystem, System } from './system.ts';

// The loader of TypeScript has them on, and they make every error that a library throws and catches dear.
process.setSourceMapsEnabled(false);

let system: System | undefined;
let data: string | undefined;

function started(): System {
  if (system === undefined) throw new Error('no system has been started in this host');
  return system;
}

async function start({ module, sync, dir }: StartOptions): Promise<About> {
  const loaded: { readonly start?: StartSystem } = await import(module);
  if (loaded.start === undefined) throw new Error(`${module} exports no start`);
  data = dir;
  system = await loaded.start({ sync, dir });
  const { name, version, durability, serverPids } = system;
  const can = {
    fanOut: system.fanOut !== undefined,
    sleep: system.sleep !== undefined,
    signal: system.waiting !== undefined,
  };
  return { name, version, durability, serverPids, can };
}

async function stop(): Promise<null> {
  const running = system;
  system = undefined;
  await running?.stop();
  return null;
}

const handlers: { readonly [O in Operation]: (options: OptionsOf<O>) => Promise<ResultOf<O>> } = {
  start,
  saturated: (options) => measure.saturated(started(), options),
  alone: (options) => measure.alone(started(), options),
  openLoop: (options) => measure.openLoop(started(), options),
  fanOut: (options) => measure.fanOut(started(), options),
  sleep: (options) => measure.sleep(started(), options),
  signal: (options) => measure.signal(started(), options),
  stop,
};

function handle<O extends Operation>(op: O, options: OptionsOf<O>): Promise<ResultOf<O>> {
  return handlers[op](options);
}

async function answer(request: Request): Promise<Response> {
  try {
    return { id: request.id, result: await handle(request.op, request.options) };
  } catch (error) {
    return { id: request.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (request: Request) => {
  void answer(request).then((response) => {
    process.send?.(response);
    // Whatever client library keeps the process alive has had its chance in `stop`.
    if (request.op === 'stop') process.disconnect();
  });
});
process.on('disconnect', () => {
  void stop()
    .catch(() => undefined)
    // A parent that was killed cannot.
    .then(() => (data === undefined ? undefined : rm(data, { recursive: true, force: true, maxRetries: 5 })))
    .finally(() => process.exit());
});
