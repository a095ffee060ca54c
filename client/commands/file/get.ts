/** `basaltctl file get`: a file or a folder out of a backup. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Command } from 'commander';
import { errnoOf, Fault } from '../../../daemon/protocol/faults.ts';
import { writeTar } from '../../files/tar-stream.ts';
import { type Place, readPieces, showFile, withZeros } from '../../files/walk.ts';
import { bytesText } from '../../output/units.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  partition?: number;
  logicalVolume?: string;
  output?: string;
  force?: boolean;
}

export function addFileGet(noun: Command): void {
  verb(noun, 'get', {
    summary: 'Copies a file out of a backup; a folder comes as a tar archive',
    details:
      'Without -o, the file gets its own name in the folder where you are, and a folder its name with ".tar". Holes stay holes, in\nan archive, too. An archive holds owners, modes, times, links and extended attributes.',
    examples: [
      'basaltctl file get monday /etc/hostname -o -',
      'basaltctl file get monday /srv/www -o www.tar',
      'basaltctl file get monday /srv/ann -o - | tar -x -C ann',
    ],
    exits: [65, 66, 73, 74],
  })
    .argument('<BACKUP>', 'name or id')
    .argument('<PATH>', 'path inside the backup')
    .option('-o, --output <FILE>', 'where to; "-" is standard output')
    .option('--force', 'write over a file that exists')
    .option('--partition <NUMBER>', 'which partition', wholeNumber)
    .option('--logical-volume <GROUP/VOLUME>', 'which logical volume of LVM')
    .action(
      inSession(async (session, options: Options, backup: string, path: string) => {
        const place = { session, backup, partition: options.partition, logicalVolume: options.logicalVolume };
        const file = await showFile(place, { path, follow: true });
        if (file.kind !== 'file' && file.kind !== 'folder')
          throw new Fault('INVALID_ARGUMENT', `Cannot copy "${path}": it is a ${file.kind}`);
        const isFolder = file.kind === 'folder';
        const base =
          path.split('/').findLast((part) => part !== '' && part !== '.' && part !== '..') ?? 'root';
        const output = options.output ?? (isFolder ? `${base}.tar` : base);
        const found = { path, node: file.node };
        if (output === '-') {
          if (isFolder) await writeTar(place, found, base, (bytes) => write(process.stdout, bytes));
          else await writeAll(place, found, process.stdout);
          return;
        }
        const there = await stat(output).catch(() => undefined);
        if (there?.isDirectory() === true) throw unusable(output, 'it is a folder');
        if (options.force !== true && there !== undefined)
          throw new Fault('TARGET_EXISTS', `Cannot write "${output}": it exists`);
        const copied = await toFile(output, isFolder, place, found, base);
        session.note(`Copied "${path}" to "${output}": ${bytesText(copied)}`);
      }),
    );
}

type Found = { readonly path: string; readonly node: number };

/** Writes beside the name, and gives the name when all is there. */
async function toFile(
  output: string,
  isFolder: boolean,
  place: Place,
  found: Found,
  base: string,
): Promise<number> {
  const temporary = `${output}.${process.pid}.part`;
  try {
    const copied = isFolder
      ? await folderTo(temporary, place, found, base)
      : await fileTo(temporary, place, found);
    await rename(temporary, output);
    return copied;
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw cannotWrite(output, thrown);
  }
}

const whyNot: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'there is no such folder',
  EACCES: 'not permitted',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENAMETOOLONG: 'the name is too long',
};
const full: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

const hint = 'Name another place with -o';

const unusable = (output: string, why: string, cause?: unknown): Fault =>
  new Fault('TARGET_UNUSABLE', `Cannot write "${output}": ${why}`, { hint, cause });

/** Everything else is no matter of the target, and stays what it is. */
function cannotWrite(output: string, thrown: unknown): unknown {
  const errno = errnoOf(thrown) ?? '';
  const why = whyNot[errno];
  if (why !== undefined) return unusable(output, why, thrown);
  if (!full.has(errno)) return thrown;
  const said = `Cannot write "${output}": there is no room`;
  return new Fault('TARGET_WRITE_FAILED', said, { hint, cause: thrown });
}

async function folderTo(temporary: string, place: Place, found: Found, base: string): Promise<number> {
  const stream = createWriteStream(temporary, { mode: 0o600 });
  await once(stream, 'open');
  const copied = await writeTar(place, found, base, (bytes) => write(stream, bytes));
  stream.end();
  await finished(stream);
  return copied;
}

async function fileTo(temporary: string, place: Place, found: Found): Promise<number> {
  const handle = await open(temporary, 'wx', 0o600);
  try {
    let offset = 0;
    for await (const piece of readPieces(place, found)) {
      if (!(piece instanceof Uint8Array)) {
        offset += piece.holeBytes;
        continue;
      }
      for (let done = 0; done < piece.length; )
        done += (await handle.write(piece, done, piece.length - done, offset + done)).bytesWritten;
      offset += piece.length;
    }
    await handle.truncate(offset);
    return offset;
  } finally {
    await handle.close();
  }
}

async function writeAll(place: Place, found: Found, stream: Writable): Promise<void> {
  for await (const bytes of withZeros(readPieces(place, found))) await write(stream, bytes);
}

async function write(stream: Writable, bytes: Uint8Array): Promise<void> {
  if (stream.errored !== null) throw stream.errored;
  if (!stream.write(bytes)) await once(stream, 'drain');
}
