/** Files and functions stay small enough to be read in one go. */

import { expect, test } from 'vitest';
import { filesBelow, productFiles, type SourceFile, typeScript } from '../support/source-files.ts';

const fileLinesMax = 400;
const medianLinesMax = 100;
const functionLinesMax = 60;

const linesOf = (text: string): number => text.split('\n').length - 1;

const longFiles = (files: readonly SourceFile[]): string[] =>
  files
    .filter(({ text }) => linesOf(text) > fileLinesMax)
    .map(({ path, text }) => `${path} has ${linesOf(text)} lines`);

/** A line that begins the body of a function. The formatter puts the brace last, and the end of the body at the same depth. */
function beginsFunction(line: string): boolean {
  const code = line.trim();
  if (!code.endsWith('{')) return false;
  if (/^(}?\s*(else|catch|finally|do|try)\b|(if|for|while|switch|class|struct|namespace|enum)\b)/.test(code))
    return false;
  if (/^(export |abstract )*(class|interface|type|namespace)\b/.test(code)) return false;
  return /=> \{$|\bfunction\b/.test(code) || /\)(: [^=]+| const| override| noexcept| ->.+)* \{$/.test(code);
}

function longFunctions({ path, text }: SourceFile): string[] {
  const lines = text.split('\n');
  return lines.flatMap((line, number) => {
    if (!beginsFunction(line)) return [];
    const depth = /^ */.exec(line)?.[0] ?? '';
    const length = lines.slice(number + 1).findIndex((next) => next.startsWith(`${depth}}`)) + 2;
    return length > functionLinesMax
      ? [`${path}:${number + 1} begins a function of ${length} lines: ${line.trim()}`]
      : [];
  });
}

const product = productFiles();
const tests = [...typeScript('test'), ...filesBelow('test', ['.py', '.mjs', '.sh'])];

test(`no file has more than ${fileLinesMax} lines`, () => {
  expect(longFiles([...product, ...tests])).toEqual([]);
});

test(`half of the files have fewer than ${medianLinesMax} lines`, () => {
  const lengths = product.map(({ text }) => linesOf(text)).sort((a, b) => a - b);
  expect(lengths[Math.floor(lengths.length / 2)]).toBeLessThan(medianLinesMax);
});

test(`no function has more than ${functionLinesMax} lines`, () => {
  expect(product.flatMap(longFunctions)).toEqual([]);
});

test('functions are seen at all', () => {
  const lines = product.flatMap(({ text }) => text.split('\n'));
  expect(lines.filter(beginsFunction).length).toBeGreaterThan(600);
});

const body = (depth: string): string => `${depth}  work();\n`.repeat(functionLinesMax);

test.each([
  ['a function', `function planted() {\n${body('')}}\n`],
  ['a method', `class Planted {\n  async #go(a: number): Promise<void> {\n${body('  ')}  }\n}\n`],
  ['an arrow', `const planted = (a: number) => {\n${body('')}};\n`],
  ['a signature of several lines', `function planted(\n  a: number,\n): Promise<void> {\n${body('')}}\n`],
  ['a member function in C++', `class Planted {\n  void Run() override {\n${body('  ')}  }\n};\n`],
])('%s that is too long is reported', (_, text) => {
  expect(longFunctions({ path: 'planted', text })).toHaveLength(1);
});

test('a file that is too long is reported', () => {
  expect(longFiles([{ path: 'planted.ts', text: '\n'.repeat(fileLinesMax + 1) }])).toHaveLength(1);
});
