/** Subjects with wildcards: does one cover another, do two overlap. `*` is one token, `>` one or more at the end. */

/** `true` when every subject that matches `inner` also matches `outer`. */
export function covers(outer: string, inner: string): boolean {
  const a = outer.split('.');
  const b = inner.split('.');
  for (const [index, token] of a.entries()) {
    const other = b[index];
    if (other === undefined) return false;
    if (token === '>') return true;
    if (other === '>') return false;
    if (token !== '*' && token !== other) return false;
  }
  return a.length === b.length;
}

/** `true` when some subject matches both. */
export function overlaps(one: string, two: string): boolean {
  const a = one.split('.');
  const b = two.split('.');
  for (let index = 0; ; index++) {
    const left = a[index];
    const right = b[index];
    if (left === undefined || right === undefined) return left === right;
    if (left === '>' || right === '>') return true;
    if (left !== '*' && right !== '*' && left !== right) return false;
  }
}
