/** Turns what an operator types for a file into what the daemon understands: the daemon has another working folder.
 *  Promises: URLs, absolute paths, names and ids go through untouched. */

import { resolve } from 'node:path';

const url = /^[a-z][a-z0-9+.-]*:/i;

/** A word without a slash may be the name of a volume, so only what looks like a path becomes one. */
export function toLocation(text: string, workingFolder = process.cwd()): string {
  if (text.startsWith('@') || url.test(text)) return text;
  return text.includes('/') || text.startsWith('.') ? resolve(workingFolder, text) : text;
}

/** For a source, which is never the name of a volume: a bare word is a file of the working folder. */
export const toSource = (text: string, workingFolder = process.cwd()): string =>
  text.startsWith('@') || url.test(text) ? text : resolve(workingFolder, text);

/** For arguments that can only be a path. */
export const toAbsolutePath = (text: string, workingFolder = process.cwd()): string =>
  resolve(workingFolder, text);
