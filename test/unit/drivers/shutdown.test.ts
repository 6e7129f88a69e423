import { afterEach, describe, expect, it } from 'vitest';
import { installShutdown, systemClock } from '../../../src/drivers/index.ts';

const before = { SIGTERM: process.listeners('SIGTERM'), SIGINT: process.listeners('SIGINT') };

afterEach(() => {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    for (const listener of process.listeners(name)) {
      if (!before[name].includes(listener)) process.removeListener(name, listener);
    }
  }
});

function install(deadlineMs = 5_000) {
  const said: string[] = [];
  const exits: number[] = [];
  const shutdown = installShutdown({
    deadlineMs,
    report: (message) => void said.push(message),
    exit: (code) => void exits.push(code),
  });
  return { shutdown, said, exits };
}

describe('installShutdown', () => {
  it('closes in the reverse order of opening, once, and exits with 0', async () => {
    const { shutdown, said, exits } = install();
    const closed: string[] = [];
    for (const name of ['nats', 'controller', 'http']) shutdown.onClose(name, async () => void closed.push(name));
    process.emit('SIGTERM', 'SIGTERM');
    expect(await shutdown.begin('again')).toBe(0);
    expect(closed).toEqual(['http', 'controller', 'nats']);
    expect(shutdown.signal.aborted).toBe(true);
    expect(said[0]).toBe('stopping: SIGTERM');
    expect(exits).toEqual([0]);
  });

  it('goes on past a closer that fails or hangs, and exits with 1', async () => {
    const { shutdown, said } = install(20);
    const closed: string[] = [];
    shutdown.onClose('last', async () => void closed.push('last'));
    shutdown.onClose('hangs', () => new Promise(() => undefined));
    shutdown.onClose('fails', () => Promise.reject(new Error('no')));
    expect(await shutdown.begin('test')).toBe(1);
    expect(closed).toEqual(['last']);
    expect(said).toContain('fails did not close: no');
    expect(said).toContain('hangs did not close: the deadline has passed');
  });

  it('exits at once on the second signal', () => {
    const { shutdown, exits } = install();
    shutdown.onClose('hangs', () => new Promise(() => undefined));
    process.emit('SIGINT', 'SIGINT');
    expect(exits).toEqual([]);
    process.emit('SIGINT', 'SIGINT');
    expect(exits).toEqual([1]);
  });
});

describe('systemClock', () => {
  it('wakes with the reason of the signal that aborts it', async () => {
    const controller = new AbortController();
    const waiting = systemClock.sleep(60_000, controller.signal); // ends by the abort, not by time
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});
