/** What may follow a line, against the tree of commands itself: nothing of it is left out. */

import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { isFile, namesOfHelp } from '../../../../client/completion/names.ts';
import { wantedAt } from '../../../../client/completion/wanted.ts';
import { createProgram } from '../../../../client/program.ts';

const silent = () => undefined;
const program = createProgram(silent, silent);
const words = (...typed: string[]) => wantedAt(program, typed).candidates.map(({ word }) => word);

/** Each command with the words that lead to it. */
function* tree(command: Command, path: readonly string[]): Generator<readonly [Command, readonly string[]]> {
  yield [command, path];
  for (const inner of command.createHelp().visibleCommands(command))
    if (inner.name() !== 'help') yield* tree(inner, [...path, inner.name()]);
}
const all = [...tree(program, [])];

test('the tree is there', () => {
  expect(all.length).toBeGreaterThan(70);
});

test.each(all)('all that the help of %# shows is offered', (command, path) => {
  const help = command.helpInformation();
  const options = [...help.matchAll(/^ {2}(?:(-\w), )?(--[a-z-]+)/gm)].flatMap(([, short, long]) => [
    short,
    long,
  ]);
  const offered = words(...path, '-');
  for (const option of options.filter((one) => one !== undefined)) expect(offered).toContain(option);
  const [, list = ''] = /\nCommands:\n((?: {2}.*\n)+)/.exec(help) ?? [];
  const verbs = [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, verb]) => verb);
  if (verbs.length > 0) expect(words(...path, '')).toEqual(verbs);
});

/** Words that only the operator knows. */
const free =
  `NAME NEW UUID ID KEY=VALUE KEY TEXT CONTAINER ZONE RATE COUNT N SIZE TIME PATH PATTERN PROJECT SERVICE NUMBER
  GROUP/VOLUME COLUMN ADDRESS KEY[:DIRECTION`.split(/\s+/);

test("each name that the help gives to a word is asked for, is a file, has its values, or is the operator's own", () => {
  for (const [command, path] of all) {
    const given = [
      ...command.registeredArguments.map((one) => [one.name(), one.argChoices] as const),
      ...command.options.map((one) => [/[<[]([^>\]]+)/.exec(one.flags)?.[1], one.argChoices] as const),
    ];
    for (const [name, choices] of given) {
      if (name === undefined || choices !== undefined) continue;
      const known = namesOfHelp.includes(name) || isFile(name) || free.includes(name);
      expect([path.join(' '), name, known]).toEqual([path.join(' '), name, true]);
    }
  }
});

test('options before, between and behind the words are understood, and their values are not taken for words', () => {
  const wanted = wantedAt(program, ['--socket', '/x', '-f', 'json', 'backup', '--project=p', 'show', '']);
  expect(wanted.placeholder).toBe('BACKUP');
  expect([...wanted.given]).toEqual([
    ['--socket', '/x'],
    ['--format', 'json'],
    ['--project', 'p'],
  ]);
  expect(wantedAt(program, ['backup', 'show', 'x', '']).placeholder).toBeUndefined();
  expect(wantedAt(program, ['backup', 'delete', 'x', 'y', '']).placeholder).toBe('BACKUP');
  expect(wantedAt(program, ['backup', 'show', '--', '-x']).placeholder).toBe('BACKUP');
  expect(words('backup', 'list', '--status=')).toContain('available');
  expect(words('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  expect(words('bakcup', '')).toEqual([]);
});
