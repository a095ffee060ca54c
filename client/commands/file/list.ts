/** `basaltctl file list`: a folder inside a backup. */

import type { Command } from 'commander';
import type { FileValue } from '../../../daemon/protocol/values.ts';
import { listFolder } from '../../files/walk.ts';
import { fileTitles } from '../../output/titles.ts';
import { inSession, verb, wholeNumber } from '../../verb.ts';

interface Options {
  partition?: number;
  logicalVolume?: string;
}

export function addFileList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists a folder inside a backup, without mounting anything',
    details:
      'ext2, ext3, ext4, xfs, FAT, exFAT and NTFS are read by a process that has no rights but to read the image. Of a disk\nwith several partitions or logical volumes, name one with --partition or --logical-volume.',
    examples: [
      'basaltctl file list monday /etc',
      'basaltctl file list monday / --partition 2 -f json',
      'basaltctl file list monday /etc --logical-volume system/root',
    ],
    exits: [65, 66, 74],
  })
    .argument('<BACKUP>', 'name or id')
    .argument('[PATH]', 'path inside the backup', '/')
    .option('--partition <NUMBER>', 'which partition', wholeNumber)
    .option('--logical-volume <GROUP/VOLUME>', 'which logical volume of LVM')
    .action(
      inSession(async (session, { partition, logicalVolume }: Options, backup: string, path: string) => {
        const files: FileValue[] = [];
        const notes: string[] = [];
        const place = { session, backup, partition, logicalVolume };
        for await (const file of listFolder(place, { path }, (found) => notes.push(...found.notes)))
          files.push(file);
        files.sort((a, b) => (a.name < b.name ? -1 : 1));
        await session.list(files, {
          titles: fileTitles,
          initial: ['kind', 'mode', 'uid', 'gid', 'size_bytes', 'modified_at', 'name'],
        });
        for (const note of notes) session.note(note);
      }),
    );
}
