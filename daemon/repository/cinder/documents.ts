/** The two documents of a Cinder backup as text: `_metadata` and `_sha256file`, byte for byte as Cinder writes them, in parts, so
 *  that nothing of the size of a volume is held. Source: cinder/backup/chunkeddriver.py (json.dumps with indent 2 and sorted
 *  keys). Pure.
 *  Promises: what is written has Cinder's members, and one more, "basalt", that Cinder ignores: what Cinder has no
 *  word for, as JSON in a text, like "volume_meta". */

import { GiB } from '../../base/bytes.ts';
import { pythonJson } from '../../format/cinder-record.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { ManifestFields } from '../repository.ts';
import type { ObjectEntry } from './object-writer.ts';
import { hashBytes } from './runs.ts';

export const documentVersion = '1.0.0';
/** Hashes that become text in one go. */
export const hashesPerStep = 4096;

/** Members of the document before and behind its one long list. */
interface Document {
  readonly head: string;
  readonly tail: string;
}

/** A time as Python prints it. */
const pythonTime = (isoTime: string): string =>
  `${isoTime.slice(0, 10)} ${isoTime.slice(11, 19)}${fractionOf(isoTime)}+00:00`;

const fractionOf = (isoTime: string): string => {
  const milliseconds = isoTime.slice(20, 23);
  return milliseconds === '000' || milliseconds === '' ? '' : `.${milliseconds}000`;
};

/** Members in the order of their names, with the list `list` in its place. */
function documentOf(members: Readonly<Record<string, unknown>>, list: string, isEmpty: boolean): Document {
  const names = [...Object.keys(members), list].sort();
  const lines = names.map((name) =>
    name === list ? undefined : `  "${name}": ${pythonJson(members[name])}`,
  );
  const at = names.indexOf(list);
  const before = lines.slice(0, at).map((line) => `${line},\n`);
  const behind = lines.slice(at + 1).map((line) => `,\n${line}`);
  const [open, close] = isEmpty ? ['[', ']'] : ['[\n', '\n  ]'];
  return { head: `{\n${before.join('')}  "${list}": ${open}`, tail: `${close}${behind.join('')}\n}` };
}

const commonMembers = ({ backup, volume }: ManifestFields) => ({
  version: documentVersion,
  backup_id: backup.id,
  volume_id: volume.id,
  backup_name: backup.name,
  backup_description: backup.description,
  created_at: pythonTime(backup.created_at),
});

export function hashesDocument(fields: ManifestFields, hashBlockBytes: number, isEmpty: boolean): Document {
  return documentOf({ ...commonMembers(fields), chunk_size: hashBlockBytes }, 'sha256s', isEmpty);
}

export function metadataDocument(
  fields: ManifestFields,
  statistics: BackupManifest['statistics'],
  isEmpty: boolean,
): Document {
  // As our own format has them, without what is not there.
  const basalt = pythonJson(JSON.parse(JSON.stringify({ ...fields, statistics })));
  const { parent_id } = fields.backup;
  const members = { ...commonMembers(fields), parent_id, volume_meta: volumeMeta(fields), basalt };
  return documentOf(members, 'objects', isEmpty);
}

/** What Cinder gives the volume that it restores to: of ours it has the name, the properties and the key. */
function volumeMeta({ backup, volume }: ManifestFields): string {
  const base = {
    id: volume.id,
    size: Math.ceil(volume.size_bytes / GiB),
    display_name: volume.name,
    display_description: null,
    project_id: backup.project_id,
    encryption_key_id: backup.encryption_key_id ?? null,
    volume_type_id: null,
    bootable: false,
  };
  const properties = volume.metadata ?? {};
  return pythonJson({
    version: 2,
    'volume-base-metadata': base,
    // Absent where it is empty, as Cinder has it.
    ...(Object.keys(properties).length === 0 ? {} : { 'volume-metadata': properties }),
  });
}

/** An object of the list; `isFirst`: nothing comes before it. */
export const objectText = (
  name: string,
  { offset, length, compression, md5 }: ObjectEntry,
  isFirst: boolean,
) =>
  `${isFirst ? '' : ',\n'}    {
      "${name}": {
        "compression": "${compression}",
        "length": ${length},
        "md5": "${md5}",
        "offset": ${offset}
      }
    }`;

/** Hashes as lines of the list. A hash of nothing but zeros stands for the block of zeros, `zeroHash`. */
export function hashesText(hashes: Buffer, zeroHash: string, isFirst: boolean): string {
  const lines: string[] = [];
  for (let at = 0; at < hashes.length; at += hashBytes) {
    const hash = hashes.toString('hex', at, at + hashBytes);
    lines.push(`    "${hash === noHash ? zeroHash : hash}"`);
  }
  return `${isFirst ? '' : ',\n'}${lines.join(',\n')}`;
}

const noHash = '0'.repeat(2 * hashBytes);
