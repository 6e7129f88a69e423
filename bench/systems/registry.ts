/** The systems that are measured beside each other. A peer's module is loaded in its host alone, never here. */
import { type PartName, provisionPart } from '../../ops/provision/index.ts';
import { ensurePeers } from '../peers-install.ts';

export interface RegisteredSystem {
  /** As rows and figures name it. */
  readonly name: string;
  /** URL of the module that exports `start` (system.ts). */
  readonly module: string;
  /** URLs of modules that its host loads first (a polyfill, say). */
  readonly preload?: readonly string[];
  /** Further options of Node for its host. */
  readonly execArgv?: readonly string[];
  /** Installs what it needs; gives the sentence that says why it cannot be had here, or nothing. */
  readonly provision?: () => Promise<string | undefined>;
}

const here = (path: string): string => new URL(path, import.meta.url).href;

/** Does nothing at all: what the driver itself costs. */
export const NULL_SYSTEM: RegisteredSystem = { name: 'null', module: here('./null.ts') };

export const SYSTEMS: readonly RegisteredSystem[] = [
  { name: 'millrace', module: here('./millrace.ts'), provision: () => lacking('nats') },
  {
    name: 'restate',
    module: here('../peers/restate.ts'),
    // Its SDK asks for Promise.withResolvers, which Node has from 22 on.
    preload: [here('../peers/with-resolvers.ts')],
    provision: ensurePeers,
  },
  { name: 'dbos', module: here('../peers/dbos.ts'), provision: ensureDbos },
  { name: 'temporal', module: here('../peers/temporal.ts'), provision: ensureTemporal },
  { name: 'temporal-local', module: here('../peers/temporal-local.ts'), provision: ensureTemporal },
  { name: 'bullmq', module: here('../peers/bullmq.ts'), provision: () => lacking('redis') },
];

/** The sentence that says why a program cannot be had here, or nothing. */
async function lacking(name: PartName): Promise<string | undefined> {
  const part = await provisionPart(name);
  return part.status === 'available' ? undefined : part.reason;
}

async function ensureDbos(): Promise<string | undefined> {
  return (await ensurePeers()) ?? lacking('postgres');
}

async function ensureTemporal(): Promise<string | undefined> {
  return (await ensurePeers()) ?? lacking('temporal');
}

export function systemNamed(name: string): RegisteredSystem {
  const found = [NULL_SYSTEM, ...SYSTEMS].find((one) => one.name === name);
  if (found === undefined) {
    throw new Error(`no system "${name}"; there are ${[NULL_SYSTEM, ...SYSTEMS].map((one) => one.name).join(', ')}`);
  }
  return found;
}
