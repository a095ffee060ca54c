/** A qcow2 image and the files below it, as a tree that leaves nothing for QEMU to guess.
 *  Promises: every file of the chain is a regular file in the folder, reached over no link; its format is what the trusted side or
 *  the layer above says, never what its bytes look like. Nothing is opened by QEMU before all of it was looked at. */

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import type { BlockNode } from '../bridge/programs.ts';
import { findFile } from '../nfs/file.ts';
import { readQcow2Header } from './header.ts';

export interface Image {
  readonly node: BlockNode;
  readonly sizeBytes: number;
}

const layersMax = 64;

/** The image, or the clause that says why it can't be used. */
export async function readChain(folder: string, name: string, depth = 1): Promise<Image | string> {
  if (depth > layersMax) return `its chain has more than ${layersMax} files`;
  const found = await findFile(folder, name);
  if (typeof found === 'string') return found;
  const handle = await open(found.path, constants.O_RDONLY | constants.O_NOFOLLOW);
  let header: Awaited<ReturnType<typeof readQcow2Header>>;
  try {
    header = await readQcow2Header(handle);
  } finally {
    await handle.close();
  }
  if (typeof header === 'string') return depth === 1 ? header : `of "${name}": ${header}`;
  const file = { driver: 'file', filename: found.path };
  const below = await readBacking(folder, name, header, depth);
  if (typeof below === 'string') return below;
  return { node: { driver: 'qcow2', file, backing: below.node }, sizeBytes: header.sizeBytes };
}

async function readBacking(
  folder: string,
  name: string,
  { backing, backingFormat }: { readonly backing: string | null; readonly backingFormat: string | null },
  depth: number,
): Promise<{ readonly node: BlockNode | null } | string> {
  if (backing === null) return { node: null };
  const shown = JSON.stringify(backing.slice(0, 128));
  // "json:…", "nbd://…", "file:…": QEMU takes for more than a name what has a colon.
  if (backing.includes(':')) return `its backing file ${shown} is not named plainly`;
  if (backing.startsWith('/')) return `its backing file ${shown} lies outside of its share`;
  const below = posix.join(posix.dirname(name), backing);
  if (below.startsWith('..')) return `its backing file ${shown} lies outside of its share`;
  if (backingFormat === 'qcow2') return readChain(folder, below, depth + 1);
  if (backingFormat !== 'raw') return `it does not say the format of its backing file ${shown}`;
  const found = await findFile(folder, below);
  if (typeof found === 'string') return `its backing file: ${found}`;
  return { node: { driver: 'raw', file: { driver: 'file', filename: found.path } } };
}
