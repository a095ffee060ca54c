/** What may stand at the end of a line that is being typed, read off the same tree of commands that --help is made of: a command or
 *  option that is added is completed with no word here. Promises: any line has an answer; the line is never run. Pure. */

import type { Argument, Command, Option } from 'commander';

/** A word that is offered, and what it means. */
export interface Candidate {
  readonly word: string;
  readonly about: string;
}

export interface Wanted {
  /** What is known without asking anybody. */
  readonly candidates: readonly Candidate[];
  /** The name that the help gives to what belongs here, as "VOLUME"; undefined: a word of the command itself. */
  readonly placeholder: string | undefined;
  /** Stands before each candidate: "--format=". */
  readonly prefix: string;
  /** What is typed of the candidate by now. */
  readonly typed: string;
  /** Options that were given before, by their long name. */
  readonly given: ReadonlyMap<string, string>;
}

const takesValue = (option: Option): boolean => option.required || option.optional;

/** "--volume <VOLUME>" → "VOLUME". */
const placeholderOf = ({ flags }: Option): string | undefined => /[<[]([^>\]]+)/.exec(flags)?.[1];

const helpWord = 'help';

/** Where a line has got to. */
class Walk {
  command: Command;
  positionals = 0;
  /** An option that waits for its value. */
  open: Option | undefined;
  onlyWords = false;
  isLost = false;
  readonly given = new Map<string, string>();

  constructor(program: Command) {
    this.command = program;
  }

  /** Those of the command and of all above it. */
  get options(): Option[] {
    const help = this.command.createHelp();
    return [...help.visibleOptions(this.command), ...help.visibleGlobalOptions(this.command)];
  }

  get commands(): Command[] {
    return this.command.createHelp().visibleCommands(this.command);
  }

  take(word: string): void {
    if (this.open !== undefined) {
      this.#give(this.open, word);
      this.open = undefined;
    } else if (this.onlyWords || !word.startsWith('-') || word === '-') this.#takeWord(word);
    else if (word === '--') this.onlyWords = true;
    else this.#takeOption(word);
  }

  #takeOption(word: string): void {
    const [name, ...rest] = word.split('=');
    const option = this.options.find(({ long, short }) => long === name || short === name);
    if (option === undefined || !takesValue(option)) return;
    if (rest.length > 0) this.#give(option, rest.join('='));
    else this.open = option;
  }

  #give({ long }: Option, value: string): void {
    if (typeof long === 'string') this.given.set(long, value);
  }

  #takeWord(word: string): void {
    if (this.commands.length === 0) {
      this.positionals += 1;
      return;
    }
    const next = this.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) this.isLost = true;
    else if (word !== helpWord) this.command = next;
  }
}

const nothing = { candidates: [], placeholder: undefined, prefix: '' } as const;

type Value = Pick<Argument, 'argChoices'> & { readonly description: string };

const choicesOf = ({ argChoices }: Value): Candidate[] =>
  (argChoices ?? []).map((word) => ({ word, about: '' }));

function ofOption(option: Option, typed: string, prefix: string): Omit<Wanted, 'given'> {
  return { candidates: choicesOf(option), placeholder: placeholderOf(option), prefix, typed };
}

function ofWord(walk: Walk, typed: string): Omit<Wanted, 'given'> {
  const { command, commands, positionals } = walk;
  if (commands.length > 0) {
    const candidates = commands.map((one) => ({
      word: one.name(),
      about: one.summary() || one.description(),
    }));
    return { ...nothing, candidates, typed };
  }
  const all = command.registeredArguments;
  const last = all.at(-1);
  const argument = all[positionals] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return { ...nothing, typed };
  return { candidates: choicesOf(argument), placeholder: argument.name(), prefix: '', typed };
}

/** `words`: all after the name of the program; the last is the one that is being typed, perhaps empty. */
export function wantedAt(program: Command, words: readonly string[]): Wanted {
  const walk = new Walk(program);
  const typed = words.at(-1) ?? '';
  for (const word of words.slice(0, -1)) walk.take(word);
  const { given, options } = walk;
  if (walk.isLost) return { ...nothing, typed, given };
  if (walk.open !== undefined) return { ...ofOption(walk.open, typed, ''), given };
  if (walk.onlyWords || !typed.startsWith('-')) return { ...ofWord(walk, typed), given };
  const equals = typed.indexOf('=');
  if (equals > 0) {
    const option = options.find(({ long }) => long === typed.slice(0, equals));
    if (option === undefined || !takesValue(option)) return { ...nothing, typed, given };
    return { ...ofOption(option, typed.slice(equals + 1), typed.slice(0, equals + 1)), given };
  }
  const candidates = options.flatMap(({ long, short, description }) =>
    [long, short].filter((word) => typeof word === 'string').map((word) => ({ word, about: description })),
  );
  return { ...nothing, candidates, typed, given };
}
