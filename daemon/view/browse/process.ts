/** Starts `basalt-reader`, which reads the file system in a part of an image. Promises: it gets a path, a socket and nothing else.
 *  Knows nothing of what is asked of it. */

import { type ChildProcess, spawn } from 'node:child_process';

/** Threads of one reader: as many reads of the image as make sense at a time. */
const readerThreads = 4;

export interface ReaderParts {
  /** The program, by its path. */
  readonly program: string;
  readonly imagePath: string;
  readonly offset: number;
  /** Undefined: to the end of the image. */
  readonly sizeBytes: number | undefined;
}

/** `socket`: a descriptor, or that a stream is to be made. */
export const startReader = (
  { program, imagePath, offset, sizeBytes }: ReaderParts,
  socket: number | 'pipe',
): ChildProcess =>
  spawn(program, [imagePath, ...[offset, sizeBytes ?? 0, readerThreads].map(String)], {
    stdio: ['ignore', 'ignore', 'ignore', socket],
    env: {},
    cwd: '/',
  });
