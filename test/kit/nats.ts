/** A nats-server of one's own, with the streams of the engine on it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServerHandle, startNats } from '../../ops/stack/index.ts';
import { connectNats, type NatsDoor } from '../../src/drivers/index.ts';
import { type Definition, systemAssets, workflowAssets } from '../../src/engine/index.ts';
import { type DefinitionStore, ensureAssets, openDefinitions } from '../../src/manifests/index.ts';

export interface NatsKit {
  readonly server: ServerHandle;
  readonly url: string;
  /** Opens a further connection; all are closed at the end. */
  door(name?: string): Promise<NatsDoor>;
  /** Creates the system's streams and those of the workflows, and stores the definitions. */
  prepare(definitions: readonly Definition[]): Promise<DefinitionStore>;
  stop(): Promise<void>;
}

export async function withNats(
  options: { readonly token?: string; readonly extraConf?: string } = {},
): Promise<NatsKit> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-nats-'));
  const server = await startNats({ dir, ...options });
  const doors: NatsDoor[] = [];
  const door = async (name = 'test'): Promise<NatsDoor> => {
    const token = options.token === undefined ? {} : { token: options.token };
    const opened = await connectNats({ url: server.url, name, ...token });
    doors.push(opened);
    return opened;
  };
  return {
    server,
    url: server.url,
    door,
    async prepare(definitions) {
      const { nc } = await door('prepare');
      await ensureAssets(nc, systemAssets());
      for (const definition of definitions) await ensureAssets(nc, workflowAssets(definition));
      const store = await openDefinitions(nc);
      for (const definition of definitions) await store.put(definition);
      return store;
    },
    async stop() {
      await Promise.all(doors.map((opened) => opened.close()));
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
