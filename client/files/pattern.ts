/** Names with wildcards, as a shell has them: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before what is meant as it is. Pure.
 *  Promises: any text is a pattern; matching takes time in proportion to the product of both lengths at most. */

type Part = { readonly star: true } | { readonly star: false; readonly fits: (letter: string) => boolean };

/** Tells whether a path is meant: by its last name, or where the pattern has a slash, as a whole. */
export function matcherOf(pattern: string): (path: string) => boolean {
  const parts = parse(pattern);
  const isPath = pattern.includes('/');
  return (path) => fits(parts, Array.from(isPath ? path : (path.split('/').at(-1) ?? '')));
}

function parse(pattern: string): Part[] {
  const letters = Array.from(pattern);
  const parts: Part[] = [];
  for (let at = 0; at < letters.length; at += 1) {
    const letter = letters[at] ?? '';
    if (letter === '*') parts.push({ star: true });
    else if (letter === '?') parts.push({ star: false, fits: (other) => other !== '/' });
    else if (letter === '[' && letters.indexOf(']', at + 2) > 0) {
      const end = letters.indexOf(']', at + 2);
      parts.push({ star: false, fits: classOf(letters.slice(at + 1, end)) });
      at = end;
    } else {
      const isEscaped = letter === '\\' && at + 1 < letters.length;
      if (isEscaped) at += 1;
      const exact = isEscaped ? (letters[at] ?? '') : letter;
      parts.push({ star: false, fits: (other) => other === exact });
    }
  }
  return parts;
}

function classOf(letters: readonly string[]): (letter: string) => boolean {
  const isNegative = letters[0] === '!' || letters[0] === '^';
  const rest = isNegative ? letters.slice(1) : letters;
  const ranges: [string, string][] = [];
  for (let at = 0; at < rest.length; at += 1) {
    const from = rest[at] ?? '';
    const to = rest[at + 1] === '-' ? rest[at + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) at += 2;
  }
  return (letter) =>
    letter !== '/' && ranges.some(([from, to]) => letter >= from && letter <= to) !== isNegative;
}

/** Goes back to the last star only: an earlier one could not do better. */
function fits(parts: readonly Part[], letters: readonly string[]): boolean {
  let part = 0;
  let star = -1;
  let tried = 0;
  for (let at = 0; at < letters.length; ) {
    const now = parts[part];
    if (now?.star === true) {
      star = part;
      tried = at;
      part += 1;
    } else if (now !== undefined && now.fits(letters[at] ?? '')) {
      part += 1;
      at += 1;
    } else if (star >= 0) {
      tried += 1;
      at = tried;
      part = star + 1;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest.star);
}
