/** A line as bash has it while it is being typed: its words, and how what is added to the last one must be written.
 *  Promises: what is inserted means exactly the candidate, whatever characters that has. Pure. */

export interface TypedLine {
  /** Without quotes and backslashes. The last one is being typed. */
  readonly words: readonly string[];
  /** The quote that is open at its end. */
  readonly quote: '"' | "'" | undefined;
  /** How much of the last word bash itself keeps: it completes only what follows the last character that breaks words for it, or an
   *  open quote. */
  readonly kept: string;
}

const isBlank = (letter: string): boolean => letter === ' ' || letter === '\t' || letter === '\n';

export function splitLine(line: string, wordBreaks: string): TypedLine {
  const words: string[] = [];
  let word = '';
  let kept = 0;
  let quote: TypedLine['quote'];
  let begun = false;
  for (let at = 0; at < line.length; at += 1) {
    const letter = line[at] ?? '';
    if (quote === undefined && isBlank(letter)) {
      if (begun) words.push(word);
      [word, kept, begun] = ['', 0, false];
      continue;
    }
    begun = true;
    if (quote === undefined && (letter === '"' || letter === "'")) {
      quote = letter;
      kept = word.length;
    } else if (letter === quote) quote = undefined;
    else if (letter === '\\' && quote !== "'" && at + 1 < line.length) {
      at += 1;
      const next = line[at] ?? '';
      word += quote === '"' && !/["$`\\]/.test(next) ? `\\${next}` : next;
    } else {
      word += letter;
      if (quote === undefined && wordBreaks.includes(letter)) kept = word.length;
    }
  }
  return { words: [...words, word], quote, kept: word.slice(0, kept) };
}

/** A candidate as the line needs it. */
export function written(text: string, quote: TypedLine['quote']): string {
  // "!" means an earlier command even there, and no backslash takes that away.
  if (quote === '"') return text.replaceAll(/["$`\\]/g, '\\$&').replaceAll(/!+/g, `"'$&'"`);
  if (quote === "'") return text.replaceAll("'", "'\\''");
  return text.replaceAll(/[^\w@%+=:,./~-]/gu, '\\$&').replace(/^~/, '\\~');
}
