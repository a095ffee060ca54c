/** The tables are used: a row that nothing refers to is a promise that nobody keeps. */

import { expect, test } from 'vitest';
import { faults } from '../../daemon/base/faults.ts';
import { settingNames } from '../../daemon/config/settings.ts';
import { methods } from '../../daemon/protocol/methods.ts';
import { type SourceFile, typeScript, withoutComments } from '../support/source-files.ts';

const quoted = (word: string): RegExp => new RegExp(`'${word.replaceAll('.', '\\.')}'`);

/** The words that no file matches; `files` is without comments. */
const unused = (
  words: readonly string[],
  files: readonly SourceFile[],
  as: (word: string) => RegExp,
): string[] => words.filter((word) => !files.some(({ text }) => as(word).test(text)));

const codeIn = (...folders: readonly string[]): SourceFile[] =>
  typeScript(...folders).map(({ path, text }) => ({ path, text: withoutComments(text) }));

const daemon = codeIn('daemon');
const client = codeIn('client');
const handlers = daemon.filter(({ path }) => path.startsWith('daemon/control/'));
const commands = client.filter(({ path }) => path.startsWith('client/'));
const methodNames = Object.keys(methods);

test('every fault code is thrown or told somewhere', () => {
  const users = [...daemon, ...client].filter(({ path }) => path !== 'daemon/base/faults.ts');
  expect(unused(Object.keys(faults), users, quoted)).toEqual([]);
});

const asHandler = (method: string): RegExp =>
  new RegExp(`(^|\\s)('${method.replaceAll('.', '\\.')}'|${method.includes('.') ? '(?!)' : method}): async`);

test('every method has a handler', () => {
  const answered = methodNames.filter((method) => method !== 'hello');
  expect(unused(answered, handlers, asHandler)).toEqual([]);
  expect(handlers.some(({ text }) => text.includes("method === 'hello'"))).toBe(true);
});

test('every method is called by a command of the client', () => {
  expect(unused(methodNames, commands, (method) => quoted(method))).toEqual([]);
});

test('every setting changes something', () => {
  const users = daemon.filter(({ path }) => !path.startsWith('daemon/config/'));
  const asValue = (name: string): RegExp => new RegExp(`\\bvalues\\.${name}\\b`);
  expect(unused(settingNames, users, asValue)).toEqual([]);
});

test('a row that nothing uses is reported', () => {
  const files = [{ path: 'planted.ts', text: "throw new Fault('USED', ''); values.used" }];
  expect(unused(['USED', 'UNUSED'], files, quoted)).toEqual(['UNUSED']);
  expect(unused(['status', 'job.show'], files, asHandler)).toEqual(['status', 'job.show']);
});
