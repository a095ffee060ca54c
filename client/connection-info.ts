/** A connection_info of Cinder that an operator names as `@FILE`, or pipes in as `@-`.
 *  Promises: the file is read with the rights of who runs the client, never by the daemon; its secrets are on no command line. What is in
 *  it is the daemon's to check. */

import { createReadStream } from 'node:fs';
import { errnoOf, Fault } from '../daemon/protocol/faults.ts';

const bytesMax = 256 * 1024;

export type GivenLocation =
  | { readonly url: string; readonly connection_info?: undefined }
  | { readonly url?: undefined; readonly connection_info: Record<string, unknown> };

/** `text`: a location, or "@" and the name of a file. */
export async function readLocation(text: string): Promise<GivenLocation> {
  if (!text.startsWith('@')) return { url: text };
  const file = text.slice(1);
  const what = file === '-' ? 'standard input' : file;
  const refuse = (why: string, cause?: unknown): Fault =>
    new Fault('USAGE', `Cannot read a connection_info from "${what}": ${why}`, { cause });
  const read = await readBounded(file).catch((thrown: unknown) => {
    if (errnoOf(thrown) === 'ENOENT') throw refuse('there is no such file', thrown);
    throw refuse(thrown instanceof Error ? thrown.message : String(thrown), thrown);
  });
  if (read === undefined) throw refuse(`it has more than ${bytesMax} bytes`);
  let info: unknown;
  try {
    info = JSON.parse(read);
  } catch {
    // Not the parser's words: they quote what may be a secret.
    throw refuse('it is no JSON');
  }
  if (typeof info === 'object' && info !== null && !Array.isArray(info))
    return { connection_info: { ...info } };
  throw refuse('it is no JSON object');
}

async function readBounded(file: string): Promise<string | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  const input = file === '-' ? process.stdin : createReadStream(file);
  for await (const piece of input as AsyncIterable<Buffer>) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > bytesMax) return undefined;
  }
  return Buffer.concat(pieces).toString('utf8');
}
