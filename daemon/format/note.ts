/** A note: what people changed about a backup after it was made. Source: FORMAT.md, "Notes". Pure.
 *  Promises: what `parseNote` gives is whole and of the shape below. */

import { z } from 'zod';
import { formatVersion } from './layout.ts';
import type { HashFunction } from './pack.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';

const text = z.string().max(4096);

const noteShape = z.object({
  format: z.literal(formatVersion),
  backup_id: z.uuid(),
  name: text.nullable(),
  description: text.nullable(),
  metadata: z.record(z.string().max(255), z.string().max(255)),
});

export type BackupNote = Omit<z.infer<typeof noteShape>, 'format'>;

export const sealNote = (note: BackupNote, hash: HashFunction): Buffer =>
  sealJson({ format: formatVersion, ...note }, hash);

/** The note, or the clause that is broken as text. */
export function parseNote(bytes: Buffer, hash: HashFunction): BackupNote | string {
  const opened = openSealedJson(bytes, hash);
  if (typeof opened === 'string') return opened;
  const parsed = noteShape.safeParse(opened.value);
  if (!parsed.success) return `its field "${parsed.error.issues[0]?.path.join('.') ?? ''}" is wrong`;
  const { format: _format, ...note } = parsed.data;
  return note;
}
