/** bench/results: latest.json and a page per day. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_DIR } from '../ops/lib/paths.ts';
import { type Machine, machineText } from './machine.ts';
import { figuresTable, readmeSection, replaceSection } from './report.ts';
import { type Entry, mergeEntries, mergePage, parseEntries, printEntries } from './results.ts';

export const RESULTS = join(ROOT_DIR, 'bench', 'results');
const README = join(ROOT_DIR, 'README.md');

/** @throws Error that names the file when it cannot be read as entries */
export function readLatest(results: string): readonly Entry[] {
  const file = join(results, 'latest.json');
  if (!existsSync(file)) return [];
  try {
    return parseEntries(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} is not an array of entries; correct it or remove it`, { cause: error });
  }
}

export interface Kept {
  readonly name: string;
  /** ISO text; its day names the page. */
  readonly date: string;
  readonly section: string;
  readonly entries: readonly Entry[];
}

/** Puts one series in the place of its earlier measurements. */
export function keep(results: string, machine: Machine, { name, date, section, entries }: Kept): void {
  mkdirSync(results, { recursive: true });
  const latest = mergeEntries(readLatest(results), entries);
  writeFileSync(join(results, 'latest.json'), printEntries(latest));
  const day = date.slice(0, 10);
  const page = join(results, `${day}.md`);
  const kept = existsSync(page) ? readFileSync(page, 'utf8') : '';
  const ofDay = latest.filter((entry) => entry.date.startsWith(day));
  const head = [`# Measured on ${day}`, machineText(machine), '## Figures', figuresTable(ofDay), '## Rows'];
  writeFileSync(page, mergePage(kept, head.join('\n\n'), name, section));
}

/** Writes the README's tables anew from latest.json. */
export function writeReadme(): void {
  const text = readFileSync(README, 'utf8');
  writeFileSync(README, replaceSection(text, readmeSection(readLatest(RESULTS))));
}
