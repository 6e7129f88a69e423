/**
 * Definitions of workflows, as applied.
 *
 * Job: keep every definition ever applied under its digest, and say which one is current. Boundary: the key-value bucket
 * `millrace_definitions`; nobody else writes it. A run names the digest it was started with, so:
 *
 *   D1 what is stored under a digest never changes (and is therefore cached for ever);
 *   D2 the digest is stored before the name points to it: whoever sees the current definition can also find it by digest;
 *   D3 a definition whose content does not match its digest is an error, never a decision;
 *   D4 no bucket reads as no definitions: a fresh server is not an error.
 */
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import type { Definition } from '../engine/index.ts';
import { canonicalJson, DEFINITIONS_BUCKET, isToken, MillraceError } from '../kernel/index.ts';
import { API_ERRORS, asNats, unlessMissing } from './failure.nats.ts';
import { openSealed } from './seal.ts';

const MISSING = [API_ERRORS.streamNotFound, API_ERRORS.noMessage];
const CACHE_LIMIT = 1_000;

/** Key of a workflow's current definition. */
export const currentKey = (name: string): string => `workflow.${name}`;
/** Key of one definition, by digest. */
export const digestKey = (name: string, digest: string): string => `workflow.${name}.${digest}`;

/** A running watch. */
export interface DefinitionWatch {
  stop(): Promise<void>;
}

export interface DefinitionStore {
  /** The current definition of the workflow, or undefined when none was applied. */
  current(name: string): Promise<Definition | undefined>;
  /** One definition ever applied (cached: it never changes), or undefined. */
  byDigest(name: string, digest: string): Promise<Definition | undefined>;
  /** Names of the workflows that have a current definition, sorted. */
  names(): Promise<readonly string[]>;
  /** The current definitions of all workflows, by name. */
  list(): Promise<readonly Definition[]>;
  /**
   * Calls `changed` for every current definition, then for each that is applied; `removed` for each taken away. Resolves
   * once those that exist now have been reported. `broken` gets a definition that cannot be read (default: ignored here,
   * since `current` throws the same error to whoever asks for it).
   * @throws MillraceError MR_DEFINITION_MISSING when there is no bucket yet
   */
  watch(
    changed: (definition: Definition) => void,
    handlers?: { readonly removed?: (name: string) => void; readonly broken?: (error: unknown) => void },
  ): Promise<DefinitionWatch>;
  /** Stores the definition under its digest, for runs that name it, and leaves alone what is current. */
  keep(definition: Definition): Promise<void>;
  /** Stores the definition and makes it the current one. True when that changed anything. */
  put(definition: Definition): Promise<boolean>;
  /** All definitions of the workflow that are kept, the newest first. */
  versions(name: string): Promise<readonly DefinitionVersion[]>;
  /** Removes one definition that is not current for good. Whoever calls it knows that no run names it. */
  forget(name: string, digest: string): Promise<void>;
  /** Takes the current definition away; runs that carry its digest still find it. */
  remove(name: string): Promise<void>;
}

/** A definition that is kept. */
export interface DefinitionVersion {
  readonly digest: string;
  /** When it was stored first, ms since the epoch. */
  readonly appliedAt: number;
  readonly current: boolean;
}

/** How the bucket is created. Reads go to the leader (no direct gets), so they see what apply has just written. */
export const BUCKET_OPTIONS = {
  description: 'Definitions of workflows, by name and by digest',
  history: 1,
  allow_direct: false,
} as const;

/**
 * Opens the definitions bucket; does not create it (`ensureAssets` and `apply` do).
 * @throws MillraceError MR_NATS_UNREACHABLE, MR_NATS_AUTH
 */
export async function openDefinitions(nc: NatsConnection): Promise<DefinitionStore> {
  const kv = await asNats('open the definitions bucket', () => new Kvm(nc).open(DEFINITIONS_BUCKET));
  return new KvDefinitions(kv);
}

class KvDefinitions implements DefinitionStore {
  readonly #kv: KV;
  readonly #cache = new Map<string, Definition>();

  constructor(kv: KV) {
    this.#kv = kv;
  }

  async #read(key: string): Promise<Definition | undefined> {
    const entry = await unlessMissing(`read definition "${key}"`, MISSING, () => this.#kv.get(key));
    if (entry === undefined || entry === null || entry.operation !== 'PUT') return undefined;
    return openSealed(entry.string(), key);
  }

  async current(name: string): Promise<Definition | undefined> {
    return isToken(name) ? this.#read(currentKey(name)) : undefined;
  }

  async byDigest(name: string, digest: string): Promise<Definition | undefined> {
    if (!isToken(name) || !isToken(digest)) return undefined;
    const key = digestKey(name, digest);
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const definition = await this.#read(key);
    if (definition !== undefined) this.#remember(key, definition);
    return definition;
  }

  #remember(key: string, definition: Definition): void {
    if (this.#cache.size >= CACHE_LIMIT) {
      const oldest = this.#cache.keys().next();
      if (oldest.done !== true) this.#cache.delete(oldest.value);
    }
    this.#cache.set(key, definition);
  }

  async names(): Promise<readonly string[]> {
    const names = await unlessMissing('list definitions', MISSING, async () => {
      const found: string[] = [];
      for await (const key of await this.#kv.keys('workflow.*')) found.push(key.slice('workflow.'.length));
      return found;
    });
    return (names ?? []).sort();
  }

  async list(): Promise<readonly Definition[]> {
    const names = await this.names();
    const definitions = await Promise.all(names.map((name) => this.current(name)));
    return definitions.filter((definition) => definition !== undefined);
  }

  async watch(
    changed: (definition: Definition) => void,
    handlers: { readonly removed?: (name: string) => void; readonly broken?: (error: unknown) => void } = {},
  ): Promise<DefinitionWatch> {
    const known = await this.list();
    const updates = await unlessMissing('watch definitions', MISSING, () =>
      this.#kv.watch({ key: 'workflow.*', ignoreDeletes: false }),
    );
    if (updates === undefined) {
      throw new MillraceError('MR_DEFINITION_MISSING', 'there is no definitions bucket to watch', {
        hint: 'run millrace apply first, or start a controller (it creates what the system needs)',
      });
    }
    // The watch reports what exists now once more; a definition already reported under its digest is not news.
    const reported = new Map(known.map((definition) => [definition.name, definition.digest]));
    for (const definition of known) changed(definition);
    const running = (async () => {
      for await (const entry of updates) {
        const name = entry.key.slice('workflow.'.length);
        if (entry.operation !== 'PUT') {
          if (reported.delete(name)) handlers.removed?.(name);
          continue;
        }
        try {
          const definition = openSealed(entry.string(), entry.key);
          if (reported.get(name) === definition.digest) continue;
          reported.set(name, definition.digest);
          changed(definition);
        } catch (error) {
          handlers.broken?.(error);
        }
      }
    })();
    running.catch((error: unknown) => handlers.broken?.(error));
    return {
      stop: async () => {
        updates.stop();
        await running.catch(() => undefined);
      },
    };
  }

  async keep(definition: Definition): Promise<void> {
    const { name, digest } = definition;
    const text = canonicalJson(definition);
    openSealed(text, digestKey(name, digest)); // refuses a wrong digest before it is stored for ever
    await asNats(`store definition of workflow ${name}`, async () => {
      const stored = await this.#kv.get(digestKey(name, digest));
      const intact = stored !== null && stored.operation === 'PUT' && stored.string() === text;
      if (!intact) await this.#kv.put(digestKey(name, digest), text);
    });
  }

  async put(definition: Definition): Promise<boolean> {
    await this.keep(definition); // D2
    const { name } = definition;
    const text = canonicalJson(definition);
    return asNats(`make a definition of workflow ${name} current`, async () => {
      const current = await this.#kv.get(currentKey(name));
      if (current !== null && current.operation === 'PUT' && current.string() === text) return false;
      await this.#kv.put(currentKey(name), text);
      return true;
    });
  }

  async versions(name: string): Promise<readonly DefinitionVersion[]> {
    if (!isToken(name)) return [];
    const current = (await this.current(name))?.digest;
    const found = await unlessMissing(`list definitions of workflow ${name}`, MISSING, async () => {
      const versions: DefinitionVersion[] = [];
      const keys: string[] = [];
      for await (const key of await this.#kv.keys(digestKey(name, '*'))) keys.push(key);
      for (const key of keys) {
        const entry = await this.#kv.get(key);
        if (entry === null || entry.operation !== 'PUT') continue;
        const digest = key.slice(digestKey(name, '').length);
        versions.push({ digest, appliedAt: entry.created.getTime(), current: digest === current });
      }
      return versions;
    });
    return (found ?? []).sort((a, b) => b.appliedAt - a.appliedAt);
  }

  async forget(name: string, digest: string): Promise<void> {
    if ((await this.current(name))?.digest === digest) {
      throw new MillraceError('MR_USAGE', `definition ${digest} of workflow ${name} is the current one`, {
        hint: 'apply another one first',
      });
    }
    await asNats(`forget definition ${digest}`, () => this.#kv.purge(digestKey(name, digest)));
    this.#cache.delete(digestKey(name, digest));
  }

  async remove(name: string): Promise<void> {
    await asNats(`remove the current definition of workflow ${name}`, () => this.#kv.delete(currentKey(name)));
  }
}
