/** Each file says at its top what it is for, so that nobody has to read it to find out. */

import { expect, test } from 'vitest';
import { filesBelow, productFiles, type SourceFile } from '../support/source-files.ts';

const headerLinesMax = 20;

/** What is wrong with the head of a file, or undefined. */
function fault({ path, text }: SourceFile): string | undefined {
  const body = text.startsWith('#!') ? text.slice(text.indexOf('\n') + 1) : text;
  if (path.endsWith('.ts')) {
    const head = /^\/\*\* [\s\S]*?\*\//.exec(body)?.[0];
    if (head === undefined) return `${path} does not open with a doc comment`;
    if (head.split('\n').length > headerLinesMax)
      return `${path} opens with more than ${headerLinesMax} lines`;
    return /[.!?:]/.test(head) ? undefined : `${path} opens with a comment that is no sentence`;
  }
  return /^\/\/ \S.*[\w.:,;)>-]/.test(body) ? undefined : `${path} does not open with a comment`;
}

test('every file of the daemon, the client and the addon opens with what it is for', () => {
  const files = productFiles();
  expect(files.length).toBeGreaterThan(150);
  expect(files.map(fault).filter((text) => text !== undefined)).toEqual([]);
});

test('every file that tests share opens with what it is for', () => {
  const files = filesBelow('test/support', ['.ts']);
  expect(files.map(fault).filter((text) => text !== undefined)).toEqual([]);
});

test.each([
  ['planted.ts', "import { a } from './a.ts';\n"],
  ['planted.ts', '// A line comment is not shown by editors.\nexport {};\n'],
  ['planted.ts', `/** ${'line\n * '.repeat(30)} */\nexport {};\n`],
  ['planted.cc', '#include <napi.h>\n'],
])('a planted %s without a head is reported', (path, text) => {
  expect(fault({ path, text })).toContain(path);
});
