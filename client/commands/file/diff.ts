/** `basaltctl file diff`: which files differ between two backups. */

import type { Command } from 'commander';
import type { FileValue } from '../../../daemon/protocol/values.ts';
import { differences } from '../../files/digest.ts';
import { listFolder, nameBytes, type Place, showFile } from '../../files/walk.ts';
import { differenceTitles } from '../../output/titles.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  partition?: number;
  logicalVolume?: string;
}

interface Row {
  path: string;
  state: string;
  size_before: number | null;
  size_after: number | null;
}

export function addFileDiff(noun: Command): void {
  verb(noun, 'diff', {
    summary: 'Lists the files that differ between two backups',
    details:
      'Below PATH, or all. Content is compared byte by byte where size and times leave it open. For changed bytes of the volume: basaltctl backup diff.',
    examples: ['basaltctl file diff monday tuesday', 'basaltctl file diff monday tuesday /etc -f json'],
    exits: [65, 66, 74],
  })
    .argument('<A>', 'name or id')
    .argument('<B>', 'name or id')
    .argument('[PATH]', 'path inside the backups', '/')
    .option('--partition <NUMBER>', 'which partition', wholeNumber)
    .option('--logical-volume <GROUP/VOLUME>', 'which logical volume of LVM')
    .action(
      inSession(
        async (session, { partition, logicalVolume }: Options, a: string, b: string, path: string) => {
          const before = { session, backup: a, partition, logicalVolume };
          const after = { session, backup: b, partition, logicalVolume };
          const [fileBefore, fileAfter] = await Promise.all([
            showFile(before, { path, follow: true }),
            showFile(after, { path, follow: true }),
          ]);
          const rows: Row[] = [];
          const root = path.replace(/\/+$/, '');
          for await (const row of compare([fileBefore, before], [fileAfter, after], root)) rows.push(row);
          await session.list(rows, {
            titles: differenceTitles,
            initial: ['state', 'path', 'size_before', 'size_after'],
          });
          session.note(rows.length === 0 ? 'No differences.' : `Different: ${rows.length}`);
        },
      ),
    );
}

type Side = readonly [FileValue, Place];

async function* compare(before: Side, after: Side, path: string): AsyncGenerator<Row> {
  const words = await differences(before, after, path);
  if (words.length > 0) {
    const sizes = { size_before: before[0].size_bytes, size_after: after[0].size_bytes };
    yield { path: path === '' ? '/' : path, state: `changed: ${words.join(', ')}`, ...sizes };
  }
  const [folders, others] = [before[0].kind === 'folder', after[0].kind === 'folder'];
  const [namesBefore, namesAfter] = await Promise.all([
    folders ? namesIn(before, path) : new Map<string, FileValue>(),
    others ? namesIn(after, path) : new Map<string, FileValue>(),
  ]);
  for (const name of [...new Set([...namesBefore.keys(), ...namesAfter.keys()])].sort()) {
    const [old, now] = [namesBefore.get(name), namesAfter.get(name)];
    const below = `${path}/${(old ?? now)?.name ?? name}`;
    if (old !== undefined && now !== undefined) yield* compare([old, before[1]], [now, after[1]], below);
    else if (old !== undefined) yield* oneSided([old, before[1]], below, 'removed');
    else if (now !== undefined) yield* oneSided([now, after[1]], below, 'added');
  }
}

async function* oneSided(side: Side, path: string, state: 'added' | 'removed'): AsyncGenerator<Row> {
  const [file] = side;
  const size = file.size_bytes;
  yield {
    path,
    state,
    size_before: state === 'removed' ? size : null,
    size_after: state === 'added' ? size : null,
  };
  if (file.kind !== 'folder') return;
  for (const [, inner] of await namesIn(side, path))
    yield* oneSided([inner, side[1]], `${path}/${inner.name}`, state);
}

/** What is in a folder, by names as bytes. */
async function namesIn([file, place]: Side, path: string): Promise<Map<string, FileValue>> {
  const names = new Map<string, FileValue>();
  for await (const inner of listFolder(place, { path: path === '' ? '/' : path, node: file.node }))
    names.set(nameBytes(inner).toString('latin1'), inner);
  return names;
}
