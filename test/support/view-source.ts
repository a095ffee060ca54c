/** Sources for the view that need no repository: images made by a function of their offset, and images that are files. */

import type { FileHandle } from 'node:fs/promises';
import { KiB } from '../../daemon/base/bytes.ts';
import { systemClock } from '../../daemon/base/clock.ts';
import { viewSlotBytes } from '../../daemon/base/limits.ts';
import type { BackupImage, DamagedRange } from '../../daemon/repository/repository.ts';
import { type ViewVolume, wholeSight } from '../../daemon/view/folders.ts';
import type { ShownBackup, ViewSource } from '../../daemon/view/tree.ts';
import { openView, type View, type ViewParts } from '../../daemon/view/view.ts';
import { native, readerProgram } from '../../native/native.ts';

export interface FakeBackup extends ShownBackup {
  readonly volume_name: string;
  readonly image: BackupImage;
  readonly manifest: Uint8Array;
}

/** The bytes that the image made from `seed` has at `offset`, a multiple of four. */
export function generate(seed: number, offset: number, output: Uint8Array): void {
  const words = new Uint32Array(output.buffer, output.byteOffset, Math.floor(output.length / 4));
  const first = offset / 4;
  for (let at = 0; at < words.length; at++) words[at] = Math.imul(first + at + 1, 2654435761) ^ seed;
}

export function expected(seed: number, offset: number, length: number): Buffer {
  const start = offset - (offset % 4);
  const bytes = Buffer.from(new ArrayBuffer(length + 8));
  generate(seed, start, bytes);
  return bytes.subarray(offset - start, offset - start + length);
}

export interface ImageBehaviour {
  readonly damaged?: readonly DamagedRange[];
  /** Awaited in each read. */
  readonly before?: (offset: number) => Promise<void>;
}

export function generatedImage(seed: number, sizeBytes: number, behaviour: ImageBehaviour = {}): BackupImage {
  return imageOf(sizeBytes, async (offset, output) => {
    await behaviour.before?.(offset);
    generate(seed, offset, output);
    if (offset + output.length > sizeBytes) output.fill(0, sizeBytes - offset);
    const found = (behaviour.damaged ?? []).filter(
      (range) => range.offset < offset + output.length && offset < range.offset + range.length,
    );
    for (const range of found) {
      output.fill(0, Math.max(0, range.offset - offset), range.offset + range.length - offset);
    }
    return found;
  });
}

export async function fileImage(file: FileHandle): Promise<BackupImage> {
  const { size } = await file.stat();
  return imageOf(size, async (offset, output) => {
    const { bytesRead } = await file.read(output, 0, output.length, offset);
    output.fill(0, bytesRead);
    return [];
  });
}

function imageOf(sizeBytes: number, read: BackupImage['read']): BackupImage {
  return {
    backupId: 'unused',
    sizeBytes,
    blockBytes: 64 * KiB,
    read,
    // oxlint-disable-next-line require-yield -- the view never walks an image
    extents: async function* () {
      throw new Error('the view never walks an image');
    },
  };
}

export function fakeBackup(id: string, volumeId: string, image: BackupImage): FakeBackup {
  return {
    id,
    volume_id: volumeId,
    volume_name: '',
    project_id: 'default',
    created_at: '2026-11-21T12:31:06.123Z',
    data_timestamp: '2026-11-21T12:30:00.500Z',
    size_bytes: image.sizeBytes,
    status: 'available',
    root_digest: 'd'.repeat(64),
    image,
    manifest: Buffer.from(JSON.stringify({ backup: id })),
  };
}

export class FakeSource implements ViewSource {
  readonly volumesById = new Map<string, ViewVolume>();
  readonly backupsById = new Map<string, FakeBackup>();
  changes = 0;

  generation() {
    return this.changes;
  }
  volumeIds() {
    return this.volumesById.keys();
  }
  *backups(volumeId: string) {
    for (const backup of this.backupsById.values()) if (backup.volume_id === volumeId) yield backup;
  }
  *backupsMade(beginning: string, volumeId?: string) {
    for (const backup of this.backupsById.values())
      if (backup.created_at.startsWith(beginning) && (volumeId ?? backup.volume_id) === backup.volume_id)
        yield backup;
  }
  backup(backupId: string) {
    return this.backupsById.get(backupId);
  }
  async open(backupId: string) {
    const backup = this.backupsById.get(backupId);
    if (backup === undefined) throw new Error('no such backup');
    return backup;
  }
  remove(backupId: string): void {
    this.backupsById.delete(backupId);
    this.changes += 1;
  }
  add(backup: FakeBackup, volumeName: string): this {
    this.volumesById.set(backup.volume_id, { id: backup.volume_id, name: volumeName });
    this.backupsById.set(backup.id, { ...backup, volume_name: volumeName });
    this.changes += 1;
    return this;
  }
}

export function openFakeView(
  viewDirectory: string,
  source: ViewSource,
  slots = 32,
  onEnd: () => void = () => undefined,
  more: Partial<ViewParts> = {},
): Promise<View> {
  return openView({
    native,
    cache: new Uint8Array(native.allocateArena(slots * viewSlotBytes)),
    scratch: new Uint8Array(native.allocateArena(4 * viewSlotBytes)),
    source,
    viewDirectory,
    readerProgram,
    clock: systemClock,
    threads: 2,
    allowOther: false,
    sightOf: () => wholeSight,
    callerOwnsAll: false,
    onEnd,
    ...more,
  });
}
