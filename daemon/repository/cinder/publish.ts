/** Ends a Cinder backup: its documents are made, and its objects get their names.
 *
 *    objects (durable, elsewhere) ─▶ names ─▶ folder synced ─▶ _sha256file ─▶ _metadata, the commit point
 *
 *  Promises: W1 before W2: `_metadata` gets its name only when everything else has, and is on disk; nothing but the three kinds
 *  of objects ever has the prefix. Holds nothing of the size of a volume. */

import { assert } from '../../base/assert.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { StagedFile, Staging } from '../../storage/staging.ts';
import type { ManifestFields } from '../repository.ts';
import { hashesDocument, hashesPerStep, hashesText, metadataDocument } from './documents.ts';
import { hashesName, metadataName, objectName } from './names.ts';
import { hashBytes, hashOfZeros } from './runs.ts';

/** What Cinder gives folders and files. */
export const folderMode = 0o770;
export const fileMode = 0o660;

const copyBytes = 256 * 1024;

export interface PublishParts {
  readonly staging: Staging;
  readonly container: string;
  readonly prefix: string;
  readonly fields: ManifestFields;
  readonly statistics: BackupManifest['statistics'];
  readonly hashBlockBytes: number;
  /** Texts of the objects, in order. */
  readonly entries: StagedFile;
  /** Hashes of all blocks, 32 bytes each; zeros stand for a block of zeros. */
  readonly hashes: StagedFile;
  readonly objectCount: number;
  /** What it throws is thrown on, and nothing has been seen of the backup. */
  readonly commit: () => void;
}

export async function publish(parts: PublishParts): Promise<void> {
  const { staging, container, prefix, objectCount } = parts;
  await writeHashes(parts);
  await writeMetadata(parts);
  // What has a name is seen: from here on there is no way back.
  parts.commit();
  await staging.makeFolder(container, folderMode);
  for (let number = 1; number <= objectCount; number += 1)
    await staging.publish(String(number), container, objectName(prefix, number));
  await staging.publish('sha256file', container, hashesName(prefix));
  await staging.syncFolder(container); // W1
  await staging.publish('metadata', container, metadataName(prefix));
  await staging.syncFolder(container); // W2
}

/** A text that grows at its end. */
class Text {
  readonly #file: StagedFile;
  #position = 0;

  constructor(file: StagedFile) {
    this.#file = file;
  }

  async add(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    await this.#file.write(this.#position, bytes);
    this.#position += bytes.length;
  }

  async seal(): Promise<void> {
    await this.#file.seal();
  }
}

async function writeHashes({ staging, fields, hashes, hashBlockBytes }: PublishParts): Promise<void> {
  const { size_bytes: sizeBytes } = fields.volume;
  const count = Math.ceil(sizeBytes / hashBlockBytes);
  const text = new Text(await staging.create('sha256file'));
  const { head, tail } = hashesDocument(fields, hashBlockBytes, count === 0);
  await text.add(head);
  const zeroHash = hashOfZeros(hashBlockBytes).toString('hex');
  const lastZeroHash = hashOfZeros(sizeBytes % hashBlockBytes || hashBlockBytes).toString('hex');
  const buffer = Buffer.alloc(hashesPerStep * hashBytes);
  for (let at = 0; at < count; ) {
    // The last block may be shorter than the others: its hash of zeros is another one.
    const left = count - at;
    const step = buffer.subarray(0, (left === 1 ? 1 : Math.min(hashesPerStep, left - 1)) * hashBytes).fill(0);
    await hashes.read(at * hashBytes, step);
    await text.add(hashesText(step, left === 1 ? lastZeroHash : zeroHash, at === 0));
    at += step.length / hashBytes;
  }
  await text.add(tail);
  await text.seal();
}

async function writeMetadata({
  staging,
  fields,
  statistics,
  entries,
  objectCount,
}: PublishParts): Promise<void> {
  const text = new Text(await staging.create('metadata'));
  const { head, tail } = metadataDocument(fields, statistics, objectCount === 0);
  await text.add(head);
  const buffer = Buffer.alloc(copyBytes);
  for (let position = 0; ; ) {
    const length = await entries.read(position, buffer);
    assert(length <= buffer.length, 'no more is read than there is room for');
    if (length === 0) break;
    await text.add(buffer.subarray(0, length));
    position += length;
  }
  await text.add(tail);
  await text.seal();
}
