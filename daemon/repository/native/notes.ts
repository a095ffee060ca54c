/** Notes beside the manifests of a native repository: names, descriptions and properties that were changed later.
 *  Promises: a manifest is never written a second time, so that a backup that another host removes meanwhile does not come back;
 *  a note is whole or not there. Knows nothing of catalogs. */

import { toFault } from '../../base/faults.ts';
import { manifestBytesMax } from '../../base/limits.ts';
import { notedBackupOf, noteKey, notePrefix } from '../../format/layout.ts';
import { type BackupNote, parseNote, sealNote } from '../../format/note.ts';
import type { Notes } from '../repository.ts';
import type { NativeParts } from './parts.ts';

export const notesOf = (parts: Pick<NativeParts, 'storage' | 'hash'>): Notes => ({
  put: (note) => parts.storage.put(noteKey(note.backup_id), sealNote(note, parts.hash)),
  all: () => allNotes(parts),
});

async function* allNotes({ storage, hash }: Pick<NativeParts, 'storage' | 'hash'>): AsyncIterable<{
  key: string;
  note?: BackupNote;
  reason?: string;
}> {
  for await (const key of storage.list(notePrefix)) {
    const backupId = notedBackupOf(key);
    if (backupId === undefined) continue;
    try {
      const note = parseNote(await storage.get(key, manifestBytesMax), hash);
      if (typeof note === 'string') yield { key, reason: note };
      else if (note.backup_id !== backupId) yield { key, reason: 'it is of another backup' };
      else yield { key, note };
    } catch (thrown) {
      const fault = toFault(thrown);
      // Removed between the listing and the reading.
      if (fault.code !== 'OBJECT_MISSING') yield { key, reason: fault.message };
    }
  }
}
