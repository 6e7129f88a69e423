/** Entries as tables: for the terminal, the day's page and the README. Pure. */
import { labelOf, PEERS, remarkOn } from './labels.ts';
import type { Entry } from './results.ts';
import { TARGETS, type Target } from './targets.ts';

/** A Markdown table whose columns stand under each other in a terminal as well. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n');
}

/** 1234.5 as `1,235`; small ones keep three digits. */
export function amountText(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

/** How many times better: `12.3 ×`. */
export function ratioText(ratio: number): string {
  return `${ratio >= 100 ? Math.round(ratio).toLocaleString('en-US') : ratio.toPrecision(ratio >= 10 ? 3 : 2)} ×`;
}

const MET = (met: boolean | null): string => (met === null ? '' : met ? 'yes' : '**no**');

function measured({ value, unit }: Entry): string {
  return value === null ? 'not measured' : `${amountText(value)} ${unit}`;
}

function ratioOf({ ratio, spread }: Entry): string {
  if (ratio === null) return '';
  if (spread === undefined || spread.min === spread.max) return ratioText(ratio);
  return `${ratioText(ratio)} (${ratioText(spread.min)} to ${ratioText(spread.max)})`;
}

/** All entries with everything known of them: for the terminal and the day's page. */
export function figuresTable(entries: readonly Entry[]): string {
  const rows = entries.map((entry) => [
    entry.figure,
    measured(entry),
    entry.against,
    ratioOf(entry),
    entry.target ?? '',
    MET(entry.met),
    [entry.quick === true ? 'quick' : '', entry.note ?? ''].filter((text) => text !== '').join('; '),
  ]);
  return table(['figure', 'measured', 'beside', 'times better (worst to best)', 'target', 'met', 'note'], rows);
}

export const README_BEGIN = '<!-- bench begin: `make bench-readme` writes this from bench/results/latest.json -->';
export const README_END = '<!-- bench end -->';

/** A text with the part between the markers replaced. @throws when the markers are not there, once each and in order */
export function replaceSection(text: string, section: string): string {
  const begin = text.indexOf(README_BEGIN);
  const end = text.indexOf(README_END);
  if (begin < 0 || end < begin || text.indexOf(README_BEGIN, begin + 1) >= 0) {
    throw new Error(`it needs one line "${README_BEGIN}" and one "${README_END}" after it`);
  }
  return `${text.slice(0, begin + README_BEGIN.length)}\n${section.trim()}\n${text.slice(end)}`;
}

/** The README's tables: every target of the issue, met or not or not measured; then each peer; then whoever wins. */
export function readmeSection(entries: readonly Entry[]): string {
  const parts = [when(entries), targetsTable(entries), peersPart(entries), losingPart(entries), gapsPart(entries)];
  return parts.filter((part) => part !== '').join('\n\n');
}

function when(entries: readonly Entry[]): string {
  const days = [...new Set(entries.map(({ date }) => date.slice(0, 10)))].sort();
  if (days.length === 0) return 'Nothing is measured yet.';
  const from = days.length === 1 ? `on ${days[0]}` : `from ${days[0]} to ${days.at(-1)}`;
  const quick = entries.some((entry) => entry.quick === true)
    ? ' Rows marked "quick" did a tenth of the work in one round: they show that it works and are not to be quoted.'
    : '';
  return (
    `Measured ${from}, medians; each figure is held against something run in the same minute on the same machine. ` +
    `"Times better" is above 1 where Millrace does better, whatever the unit.${quick}`
  );
}

function targetsTable(entries: readonly Entry[]): string {
  const rows = TARGETS.flatMap((target): readonly (readonly string[])[] => {
    const found = worstOfValues(
      entries.filter((entry) => fits(entry, target)),
      target,
    );
    if (found.length === 0) {
      return [[labelOf(target.figure), 'not measured', peerName(target.against ?? ''), '', limit(target), '']];
    }
    return found.map((entry) => [
      labelOf(entry.figure),
      `${measured(entry)}${entry.quick === true ? ' (quick)' : ''}`,
      peerName(entry.against),
      entry.ratio === null ? '' : ratioText(entry.ratio),
      limit(target),
      MET(entry.met),
    ]);
  });
  return table(['target of', 'measured', 'beside', 'times better', 'wanted', 'met'], rows);
}

/** Our own value stands once, however many peers it was measured beside: the worst of them. */
function worstOfValues(found: readonly Entry[], target: Target): readonly Entry[] {
  if (target.on === 'ratio' || found.length < 2) return found;
  const sign = target.direction === 'least' ? 1 : -1;
  const measured = found.filter(({ value }) => value !== null);
  return [...(measured.length > 0 ? measured : found)]
    .sort((a, b) => sign * ((a.value ?? 0) - (b.value ?? 0)))
    .slice(0, 1);
}

function fits(entry: Entry, target: Target): boolean {
  if (entry.figure !== target.figure) return false;
  return target.against === undefined || target.against === entry.against.toLowerCase();
}

function limit(target: Target): string {
  const sign = target.direction === 'least' ? '≥' : '≤';
  const unit = target.on === 'ratio' ? ' ×' : ` ${target.unit ?? ''}`;
  return `${sign} ${target.limit.toLocaleString('en-US')}${unit}`;
}

const peerName = (against: string): string => PEERS[against.toLowerCase()] ?? against;

const isPeer = ({ against }: Entry): boolean => against.toLowerCase() in PEERS;

/** One row per workload, one column per peer. */
function peersPart(entries: readonly Entry[]): string {
  const beside = entries.filter(isPeer);
  const figures = [...new Set(beside.map(({ figure }) => figure))].sort(byNumbers);
  if (figures.length === 0) return '';
  const rows = figures.map((figure) => {
    const all = beside.filter((entry) => entry.figure === figure);
    const ours = all.find(({ value }) => value !== null);
    const cells = Object.keys(PEERS).map((peer) => {
      const entry = all.find(({ against }) => against.toLowerCase() === peer);
      if (entry === undefined) return '';
      if (entry.ratio === null) return 'not measured';
      return entry.ratio < 1 ? `**${ratioText(entry.ratio)}**` : ratioText(entry.ratio);
    });
    return [labelOf(figure), ours === undefined ? 'not measured' : measured(ours), ...cells];
  });
  return [
    'How many times better than each peer, the same workload through the same driver (bold: the peer wins):',
    table(['workload', 'Millrace', ...Object.values(PEERS)], rows),
  ].join('\n\n');
}

/** So that `functions.9` comes before `functions.10`. */
function byNumbers(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function losingPart(entries: readonly Entry[]): string {
  const losing = entries.filter(({ ratio }) => ratio !== null && ratio < 1);
  if (losing.length === 0) return '';
  const lines = losing.map((entry) => {
    const why = remarkOn(entry.figure, entry.against) ?? 'Why is not looked into yet.';
    const what = `${labelOf(entry.figure)}: ${measured(entry)}, ${ratioText(entry.ratio ?? 0)} of ${peerName(entry.against)}`;
    return `- ${what}. ${why}`;
  });
  return ['Where Millrace does worse than what it stands beside, and why:', lines.join('\n')].join('\n\n');
}

function gapsPart(entries: readonly Entry[]): string {
  const sentences = new Map<string, Set<string>>();
  for (const { value, against, note } of entries) {
    if (value !== null) continue;
    const of = sentences.get(against) ?? new Set();
    sentences.set(against, of.add(note ?? 'no reason given'));
  }
  if (sentences.size === 0) return '';
  const lines = [...sentences].map(([against, all]) => `- ${peerName(against)}: ${[...all].join(' ')}`);
  return ['Not measured, and why:', lines.join('\n')].join('\n\n');
}

/** `3 of 25 targets are not met: …`, for the last lines of a run. */
export function targetsLine(entries: readonly Entry[]): string {
  const judged = entries.filter(({ met }) => met !== null);
  const unmet = judged.filter(({ met }) => met === false);
  if (judged.length === 0) return 'no figure of this run has a target';
  if (unmet.length === 0) return `all ${judged.length} targets of this run are met`;
  const names = unmet.map((entry) => `${entry.figure} (${entry.against})`);
  return `${unmet.length} of ${judged.length} targets of this run are not met: ${names.join(', ')}`;
}
