/** The order of steps. */

interface Needing {
  readonly name: string;
  readonly needs: readonly string[];
}

/**
 * The steps so that each comes after what it needs, and otherwise as they were written. Steps of a cycle (which lint
 * refuses) come last, as written.
 */
export function inOrder<T extends Needing>(steps: readonly T[]): readonly T[] {
  const left = [...steps];
  const done = new Set<string>();
  const ordered: T[] = [];
  for (;;) {
    const index = left.findIndex((step) => step.needs.every((need) => done.has(need)));
    const [next] = index < 0 ? [] : left.splice(index, 1);
    if (next === undefined) return [...ordered, ...left];
    done.add(next.name);
    ordered.push(next);
  }
}

/** Everything the step needs, directly or through others. */
export function upstream(steps: readonly Needing[], name: string): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (at: string): void => {
    for (const need of steps.find((step) => step.name === at)?.needs ?? []) {
      if (found.has(need)) continue;
      found.add(need);
      visit(need);
    }
  };
  visit(name);
  return found;
}
