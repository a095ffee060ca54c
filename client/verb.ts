/** How every verb is made: its help, with an example and the exit statuses, and its action inside a session.
 *  Promises: `--help` teaches on every level without a daemon; a session is closed whatever happens. */

import { type Command, InvalidArgumentError } from 'commander';
import { type GlobalOptions, openSession, type Session } from './session.ts';

/** Meanings of the exit statuses, by sysexits; a verb names the ones that are its own. */
const exitMeanings = {
  0: 'done',
  64: 'wrong usage or a value that is not possible',
  65: 'data is damaged',
  66: 'there is no such thing',
  69: 'the daemon is not reachable',
  70: 'a bug of Basalt, or a fault this version does not know',
  73: 'the target cannot be made or written',
  74: 'reading or writing failed',
  75: 'busy, full, over quota, locked or cancelled: may work later',
  76: 'client and daemon, or repository, are of different versions',
  77: 'not permitted',
  78: 'the settings are not valid',
  130: 'Ctrl-C: detached, the job goes on',
} as const;

export type ExitStatus = keyof typeof exitMeanings;

const exitsOfEveryVerb: readonly ExitStatus[] = [0, 64, 70];
const exitsOfEveryCall: readonly ExitStatus[] = [...exitsOfEveryVerb, 69, 76, 77];

export interface VerbHelp {
  /** One sentence without a full stop. */
  readonly summary: string;
  /** What a newcomer must know besides. Its lines are folded anew to the width of the terminal. */
  readonly details?: string;
  readonly examples: readonly string[];
  /** Exit statuses beside those of every call. */
  readonly exits: readonly ExitStatus[];
  /** True where the verb works without a daemon. */
  readonly isOffline?: boolean;
}

/** Adds the verb `name` under `noun`; the caller adds arguments, options and the action. */
export function verb(noun: Command, name: string, help: VerbHelp): Command {
  const description =
    help.details === undefined
      ? `${help.summary}.`
      : `${help.summary}.\n\n${help.details.replaceAll('\n', ' ')}`;
  return noun
    .command(name)
    .summary(help.summary)
    .description(description)
    .addHelpText('after', `\n${examplesText(help.examples)}\n${exitsText(help)}`);
}

function examplesText(examples: readonly string[]): string {
  const title = examples.length === 1 ? 'Example:' : 'Examples:';
  return [title, ...examples.map((example) => `  $ ${example}`), ''].join('\n');
}

function exitsText({ exits, isOffline }: VerbHelp): string {
  const common = isOffline ? exitsOfEveryVerb : exitsOfEveryCall;
  const statuses = [...new Set([...common, ...exits])].sort((a, b) => a - b);
  return [
    'Exit status:',
    ...statuses.map((status) => `  ${String(status).padStart(3)}  ${exitMeanings[status]}`),
  ].join('\n');
}

/** An action of commander that runs `handler` with a session, the options of the verb and its arguments. */
export function inSession(
  handler: (session: Session, options: never, ...words: never[]) => Promise<void>,
): (this: Command) => Promise<void> {
  return async function run(this: Command): Promise<void> {
    const session = openSession(this.optsWithGlobals<GlobalOptions>());
    try {
      // The verb declared its options and arguments beside the handler: their types are its to know.
      await handler(session, this.opts<never>(), ...(this.processedArgs as never[]));
    } finally {
      session.close();
    }
  };
}

/** Collects an option that may be given several times. */
export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

/** An option that is a count. What counts are possible is the daemon's to say. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.');
  return Number(text);
}
