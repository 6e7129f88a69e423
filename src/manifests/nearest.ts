/** "Did you mean": the known word nearest to a wrong one. */

function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

/** The nearest of the known words, unless none is near (more than a third of the letters, at least two, differ). */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((candidate) => ({ candidate, far: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, far }) => far <= Math.max(2, Math.floor(candidate.length / 3)) && far < candidate.length)
    .sort((a, b) => a.far - b.far);
  return near[0]?.candidate;
}

/** `did you mean "x"? known are a, b, x`. */
export function suggest(word: string, known: readonly string[], what: string): string {
  const near = nearest(word, known);
  const list = known.length === 0 ? `there are no ${what}` : `${what}: ${known.join(', ')}`;
  return near === undefined ? list : `did you mean "${near}"? ${list}`;
}
