/** The functions that a module of the user's exports. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ServedFunction } from '../functions/index.ts';
import { isObject, MillraceError, messageOf } from '../kernel/index.ts';

function isFunction(value: unknown): value is ServedFunction {
  return (
    isObject(value) && typeof value['name'] === 'string' && typeof value['run'] === 'function' && !('kind' in value)
  );
}

/** What a module exports, and what the lists that it exports hold. */
function exported(module: object): readonly unknown[] {
  return Object.values(module).flatMap((value: unknown) => (Array.isArray(value) ? (value as unknown[]) : [value]));
}

/**
 * The durable function of that name in a module.
 * @param path of a JavaScript module (or of a TypeScript one, where the process can load those)
 * @throws MillraceError MR_USAGE when the module cannot be loaded or does not export it
 */
export async function functionOf(path: string, name: string): Promise<ServedFunction> {
  const place = { file: path };
  let module: object;
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as object;
  } catch (error) {
    throw new MillraceError('MR_USAGE', `cannot load ${path}: ${messageOf(error)}`, {
      hint: 'name the built module that exports your workflows, for example ./dist/workflows.js',
      place,
      cause: error,
    });
  }
  const functions = exported(module).filter(isFunction);
  const found = functions.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = functions.map((one) => one.name).join(', ');
  throw new MillraceError('MR_USAGE', `${path} exports no workflow "${name}"`, {
    hint: names === '' ? 'export what workflow(…) gives, alone or in a list' : `it exports ${names}`,
    place,
  });
}
