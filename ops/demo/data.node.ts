/** Reads the demo's data out of the installed `vega-datasets` package. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { messageOf, OpsError } from '../lib/errors.ts';
import { batchesOf, type Flight, type Item, itemsOf, type Quake, spoil } from './data.ts';

async function readData(file: string): Promise<unknown> {
  // The package exports its code only, so its folder is found by where that lies: <package>/build/….
  const build = dirname(createRequire(import.meta.url).resolve('vega-datasets'));
  try {
    return JSON.parse(await readFile(join(dirname(build), 'data', file), 'utf8'));
  } catch (cause) {
    throw new OpsError('MR_UNAVAILABLE', `vega-datasets has no readable ${file}: ${messageOf(cause)}. Run npm ci.`, {
      cause,
    });
  }
}

/** Every message of the demo, in the order it is published. */
export async function readItems(): Promise<Item[]> {
  const flights = (await readData('flights-20k.json')) as Flight[];
  const { features } = (await readData('earthquakes.json')) as { features: Quake[] };
  return itemsOf(spoil(batchesOf(flights)), features);
}
