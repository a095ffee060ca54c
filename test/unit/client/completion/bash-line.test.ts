/** Lines of bash, against bash: what is split is what it would run, and what is written means the candidate. */

import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { splitLine, written } from '../../../../client/completion/bash-line.ts';

const breaks = ' \t\n"\'@><=;|&(:';

/** What bash makes of the words of each line, as where one types: with its history. Nothing in them is run. */
function byBash(lines: readonly string[]): string[][] {
  const script = lines.map((line) => `printf '%s\\0' ${line}; printf '\\1'`).join('\n');
  const input = `set -o history -o histexpand\n${script}\n`;
  const said = execFileSync('bash', ['--norc'], { encoding: 'utf8', env: { HISTFILE: '/dev/null' }, input });
  return said
    .split('\u0001')
    .slice(0, -1)
    .map((part) => part.split('\0').slice(0, -1));
}

/** What names of things may have. */
const name = fc.string({
  unit: fc.constantFrom(...Array.from('ab1 :=@~$`"\'\\*?[]{}()<>|&;!#%^é,-')),
  minLength: 1,
  maxLength: 12,
});

test('a candidate that is written means itself, outside of quotes and in them', () => {
  const names = fc.sample(name, { numRuns: 400, seed: 7 });
  const lines = names.flatMap((one) => [
    `x${written(one, undefined)}`,
    `"${written(one, '"')}"`,
    `'${written(one, "'")}'`,
  ]);
  expect(byBash(lines)).toEqual(names.flatMap((one) => [[`x${one}`], [one], [one]]));
});

test('a line is split as bash splits it', () => {
  const names = fc.sample(fc.array(name, { minLength: 1, maxLength: 4 }), { numRuns: 200, seed: 8 });
  const lines = names.map((words) =>
    words
      .map(
        (word, place) =>
          [`x${written(word, undefined)}`, `"${written(word, '"')}"`, `'${written(word, "'")}'`][place % 3],
      )
      .join(' '),
  );
  expect(lines.map((line) => splitLine(line, breaks).words)).toEqual(byBash(lines));
});

test.each([
  ['basaltctl backup show a:b', ['basaltctl', 'backup', 'show', 'a:b'], 'a:', undefined],
  ['basaltctl --format=js', ['basaltctl', '--format=js'], '--format=', undefined],
  ['basaltctl show "a:b c', ['basaltctl', 'show', 'a:b c'], '', '"'],
  ["basaltctl show x'a", ['basaltctl', 'show', 'xa'], 'x', "'"],
  ['basaltctl show a\\:b', ['basaltctl', 'show', 'a:b'], '', undefined],
  ['basaltctl show ', ['basaltctl', 'show', ''], '', undefined],
])('%j: its words, and what bash keeps of the last one', (line, words, kept, quote) => {
  expect(splitLine(line, breaks)).toEqual({ words, kept, quote });
});
