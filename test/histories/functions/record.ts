/**
 * Records the histories of durable functions that are not recorded yet: `npx tsx test/histories/functions/record.ts`.
 * It never overwrites one: a recorded history is a contract (../README.md).
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { testEnvironment } from '../../../src/testing/index.ts';
import { FUNCTION_HISTORIES, FUNCTION_STORIES } from '../../kit/function-histories.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
mkdirSync(FUNCTION_HISTORIES, { recursive: true });
for (const [name, { about, fn, play }] of Object.entries(FUNCTION_STORIES)) {
  const file = join(FUNCTION_HISTORIES, `${name}.json`);
  if (existsSync(file)) continue;
  const { history } = await play(await testEnvironment({ workflows: [fn], keepResting: true }));
  writeFileSync(file, `${JSON.stringify({ about, recordedBy: version, ...history }, null, 1)}\n`);
  console.log(`recorded ${name}`);
}
