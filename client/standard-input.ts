/** Standard input as one text, for what is too long to be a word of a command line.
 *  Promises: never holds more than a message to the daemon may. */

import { Fault } from '../daemon/protocol/faults.ts';

const lengthMax = 1024 * 1024;

export async function readStandardInput(): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > lengthMax) throw new Fault('USAGE', 'Cannot use "-": standard input has more than 1 MiB');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8').trim();
}
