/** `basaltctl completion`: the script by which a shell completes what is typed, and the hidden word that the script asks.
 *    key ─script▶ basaltctl __complete ─▶ a line that says what else may follow, then one line a candidate
 *  Promises: what is asked by a key never prints an error, and ends with 0. */

import { Argument, type Command } from 'commander';
import { splitLine, written } from '../completion/bash-line.ts';
import { isFile, namesFor } from '../completion/names.ts';
import { type Shell, scriptOf, shells } from '../completion/scripts.ts';
import { type Candidate, type Wanted, wantedAt } from '../completion/wanted.ts';
import { hasDangerous, printable } from '../output/text.ts';
import type { GlobalOptions } from '../session.ts';
import { verb } from '../verb.ts';

export function addCompletion(program: Command): void {
  verb(program, 'completion', {
    summary: 'Prints a script that completes commands, options and names in a shell',
    details:
      'Names of volumes, backups and others are asked of the daemon while you type; where it does not answer within a second there are none.',
    examples: [
      'basaltctl completion bash >/etc/bash_completion.d/basaltctl',
      'source <(basaltctl completion bash)',
      'basaltctl completion zsh >/usr/local/share/zsh/site-functions/_basaltctl',
      'basaltctl completion fish >/etc/fish/completions/basaltctl.fish',
    ],
    exits: [],
    isOffline: true,
  })
    .addArgument(new Argument('<SHELL>', 'which shell').choices(shells))
    .action((shell: Shell) => {
      process.stdout.write(scriptOf(shell));
    });
  program
    .command('__complete', { hidden: true })
    .argument('<FORM>')
    .argument('[WORDS...]')
    .action(async function complete(this: Command, form: string, words: string[]) {
      const reply =
        form === 'bash' ? await bashReply(program, this, words) : await plainReply(program, this, words);
      process.stdout.write(reply.map((line) => `${line}\n`).join(''));
    });
}

interface Found {
  readonly wanted: Wanted;
  /** Whole words, in the order of the source. */
  readonly candidates: readonly Candidate[];
}

async function find(program: Command, command: Command, words: readonly string[]): Promise<Found> {
  const wanted = wantedAt(program, words);
  const { placeholder, typed, prefix, given } = wanted;
  const { socket, project } = command.optsWithGlobals<GlobalOptions>();
  const socketPath = given.get('--socket') ?? socket;
  const order = { placeholder, typed, socketPath, project: given.get('--project') ?? project };
  const all = [...wanted.candidates, ...(await namesFor(order))];
  const candidates = all
    // What could not be typed is no word.
    .filter(({ word }) => word.startsWith(typed) && !hasDangerous(word))
    .map(({ word, about }) => ({ word: `${prefix}${word}`, about: printable(about) }));
  return { wanted, candidates };
}

const follows = ({ wanted }: Found): string => (isFile(wanted.placeholder) ? 'files' : '-');

/** zsh and fish quote by themselves, and show what a candidate means. */
async function plainReply(program: Command, command: Command, words: readonly string[]): Promise<string[]> {
  const found = await find(program, command, words);
  return [follows(found), ...found.candidates.map(({ word, about }) => `${word}\t${about}`)];
}

async function bashReply(
  program: Command,
  command: Command,
  [line = '', wordBreaks = '']: readonly string[],
): Promise<string[]> {
  const { words, quote, kept } = splitLine(line, wordBreaks);
  const found = await find(program, command, words.slice(1));
  const rest = found.candidates.filter(({ word }) => word.startsWith(kept));
  return [follows(found), ...rest.map(({ word }) => written(word.slice(kept.length), quote))];
}
