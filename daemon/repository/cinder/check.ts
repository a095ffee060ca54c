/** Checks a Cinder repository as far as reading it needs: every backup with its chain, and with `readData` every byte of each
 *  against hash lists and MD5. Changes nothing. */

import { segmentBytes } from '../../base/limits.ts';
import type { BackupManifest } from '../../format/manifest.ts';
import type { CheckReport, DamagedRange, Progress } from '../repository.ts';
import { CinderImage, type ImageParts } from './image.ts';
import { scanBackups } from './scan.ts';

const rangesMax = 1000;

export interface CheckParts extends ImageParts {
  readonly manifests: () => AsyncIterable<{ key: string; manifest?: BackupManifest; fault?: Error }>;
}

export async function checkObjects(
  parts: CheckParts,
  readData: boolean,
  progress: Progress,
  signal: AbortSignal,
): Promise<CheckReport> {
  let [backupsChecked, packsChecked] = [0, 0];
  const damagedBackups: { backupId: string; volumeName: string; ranges: readonly DamagedRange[] }[] = [];
  const damagedManifests: { key: string; reason: string }[] = [];
  for await (const { prefix, manifest, missing, objects } of scanBackups(parts, progress, signal)) {
    backupsChecked += 1;
    packsChecked += objects;
    if (manifest === undefined) {
      damagedManifests.push({ key: prefix, reason: missing.join('; ') });
      continue;
    }
    const ranges = readData ? await damagedRanges(parts, manifest, progress, signal) : [];
    if (ranges.length > 0)
      damagedBackups.push({ backupId: manifest.backup.id, volumeName: manifest.volume.name, ranges });
  }
  return { backupsChecked, packsChecked, damagedBackups, damagedManifests, damagedPacks: [] };
}

async function damagedRanges(
  parts: CheckParts,
  manifest: BackupManifest,
  progress: Progress,
  signal: AbortSignal,
): Promise<DamagedRange[]> {
  const { id } = manifest.backup;
  const image = new CinderImage(parts, id, manifest.volume.size_bytes, `check ${id}`);
  const found: DamagedRange[] = [];
  const output = Buffer.alloc(segmentBytes);
  for await (const extent of image.extents()) {
    signal.throwIfAborted();
    progress({ bytesDone: extent.offset, bytesTotal: image.sizeBytes, phase: `reading backup ${id}` });
    if (!extent.data) continue;
    const damaged = await image.read(extent.offset, output.subarray(0, extent.length));
    found.push(...damaged.slice(0, Math.max(0, rangesMax - found.length)));
  }
  return found;
}
