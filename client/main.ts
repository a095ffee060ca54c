#!/usr/bin/env node
/** `basaltctl`: reads the command line, runs one verb, tells what went wrong, sets the exit status.
 *  Promises: the status is a row of the fault table; an error is one sentence and one hint on stderr, or JSON with
 *  `-f json`; a reader that closes stdout early is no error. */

import { CommanderError } from 'commander';
import { Fault } from '../daemon/protocol/faults.ts';
import { Detached, failureOf, failureText } from './failure.ts';
import { createProgram } from './program.ts';

const exitDetached = 130;

/** Commander's quotes and its prefix made ours. */
function usageFault(error: CommanderError): Fault {
  const sentence = error.message
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
    .replaceAll("'", '"');
  return new Fault('USAGE', sentence.charAt(0).toUpperCase() + sentence.slice(1));
}

async function run(words: readonly string[]): Promise<number> {
  const program = createProgram(
    (text) => process.stdout.write(text),
    (text) => process.stderr.write(text),
  );
  try {
    await program.parseAsync(words, { from: 'user' });
    // A verb that ran a child has set the status of the child.
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    if (thrown instanceof Detached) {
      process.stderr.write(`${thrown.message}\nFollow it with: basaltctl job watch ${thrown.jobId}\n`);
      return exitDetached;
    }
    if (thrown instanceof CommanderError) {
      // Help that was asked for; help because words are missing is a usage fault that has said enough.
      if (thrown.exitCode === 0) return 0;
      if (thrown.code === 'commander.help') return failureOf(new Fault('USAGE', '')).exitStatus;
    }
    const failure = failureOf(thrown instanceof CommanderError ? usageFault(thrown) : thrown);
    process.stderr.write(failureText(failure, program.opts()['format']));
    return failure.exitStatus;
  }
}

process.stdout.on('error', (thrown: NodeJS.ErrnoException) => {
  if (thrown.code !== 'EPIPE') throw thrown;
});
process.exitCode = await run(process.argv.slice(2));
