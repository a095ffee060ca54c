/** The known name that somebody who mistyped most likely meant. Pure. */

/** Letters to insert, remove or replace to get from `a` to `b` (Levenshtein), two rows at a time. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replace = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replace, (above[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    above = current;
  }
  return above[b.length] ?? 0;
}

/** Undefined where nothing is near: more than half of the letters would have to change. */
export function nearest(text: string, names: readonly string[]): string | undefined {
  const typed = text.slice(0, 64).toLowerCase().replaceAll('-', '_');
  let best: string | undefined;
  let bestDistance = Math.floor(typed.length / 2) + 1;
  for (const name of names) {
    const letters = distance(typed, name);
    if (letters < bestDistance) {
      best = name;
      bestDistance = letters;
    }
  }
  return best;
}
