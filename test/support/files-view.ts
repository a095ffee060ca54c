/** A view of images for tests of the files inside them: one for each test, gone with it. */

import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { mountedAt } from '../../daemon/base/mount-table.ts';
import type { View } from '../../daemon/view/view.ts';
import { folderForTest, run, sparseFile } from './devices.ts';
import { FakeSource, fakeBackup, fileImage, openFakeView } from './view-source.ts';

export const start = promisify(execFile);
export const MiB = 2 ** 20;
const volumeId = '99999999-0000-4000-8000-000000000001';

export interface FilesView {
  readonly view: View;
  readonly source: FakeSource;
  /** Of the volume that all images are backups of. */
  readonly volume: string;
  /** Folders of the backups, one for each image. */
  readonly backups: readonly string[];
  readonly ids: readonly string[];
}

/** Shows images, each as a backup. */
export async function showImages(
  images: readonly string[],
  more: Parameters<typeof openFakeView>[4] = {},
): Promise<FilesView> {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-files-'));
  const source = new FakeSource();
  const ids: string[] = [];
  for (const [number, image] of images.entries()) {
    const file = await open(image);
    onTestFinished(() => file.close());
    const id = `${String(number).padStart(8, '0')}-0000-4000-8000-000000000001`;
    source.add(fakeBackup(id, volumeId, await fileImage(file)), 'disk');
    ids.push(id);
  }
  const view = await openFakeView(join(folder, 'view'), source, undefined, undefined, more);
  onTestFinished(async () => {
    await view.close();
    expect(await mountedAt(join(folder, 'view'))).toBeUndefined();
    await rm(folder, { recursive: true });
  });
  const backups = ids.map((id) => dirname(view.imagePath(id)));
  return { view, source, volume: join(folder, 'view', 'disk'), backups, ids };
}

/** The folder of the one backup. */
export async function show(image: string, more: Parameters<typeof openFakeView>[4] = {}): Promise<string> {
  const [backup] = (await showImages([image], more)).backups;
  if (backup === undefined) throw new Error('there is one backup');
  return backup;
}

export function mounted(image: string, ...options: string[]): string {
  const at = folderForTest();
  run('mount', '-o', ['loop', ...options].join(','), image, at);
  onTestFinished(() => void run('sh', '-c', 'mountpoint -q "$1" && umount -l "$1" || true', 'sh', at));
  return at;
}

/** An image with a file system, filled while it was mounted. */
export function filled(
  kind: 'ext4' | 'xfs',
  options: readonly string[],
  fill: (folder: string) => void,
): string {
  const image = sparseFile(kind === 'xfs' ? 320 * MiB : 120 * MiB);
  run(`mkfs.${kind}`, '-q', kind === 'xfs' ? '-f' : '-F', ...options, image);
  const written = mounted(image);
  fill(written);
  run('umount', written);
  return image;
}

/** The processes that read file systems for this test. */
export const readers = (): number[] => {
  const found = spawnSync('pgrep', ['-P', String(process.pid), '-x', 'basalt_reader'], { encoding: 'utf8' });
  return found.stdout.split('\n').filter(Boolean).map(Number);
};

export const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'fine',
    (thrown: NodeJS.ErrnoException) => thrown.code,
  );
