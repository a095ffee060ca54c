/** What tests of failures share: a daemon that goes away with its test, volumes of noise, and the packs and manifests to break.
 *  Promises: nothing outlives the test. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { Daemon, type DaemonOptions } from './daemon.ts';
import { packsIn } from './packs.ts';
import { firstDifference, noise } from './volume-model.ts';

export const MiB = 2 ** 20;
export const blockBytes = 65536;

export async function daemonForTest(options: DaemonOptions = {}): Promise<Daemon> {
  const daemon = await Daemon.start(options);
  onTestFinished(() => daemon.dispose());
  return daemon;
}

/** A folder that outlives the daemon of the test. */
export function outsideFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-outside-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Registers a volume of noise and gives its bytes. */
export async function addNoise(daemon: Daemon, name: string, length: number, seed: number): Promise<Buffer> {
  const bytes = noise(length, seed);
  writeFileSync(sourceOf(daemon, name), bytes);
  await daemon.addVolume(name, sourceOf(daemon, name));
  return bytes;
}

export const sourceOf = (daemon: Daemon, name: string): string => join(daemon.folder, `${name}.img`);

/** Restores to a new file and compares with what it must be. */
export async function expectRestores(daemon: Daemon, backup: string, bytes: Buffer): Promise<void> {
  const target = join(daemon.folder, `compare-${backup}.out`);
  await daemon.done(daemon.call('backup.restore', { backup, target }));
  expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
  rmSync(target);
}

/** The volume can be used again, and the backup says what went wrong. */
export async function expectFailedBackup(
  daemon: Daemon,
  volume: string,
  reason: RegExp,
): Promise<BackupValue> {
  expect(await daemon.call('volume.show', { volume })).toMatchObject({ status: 'available' });
  const [backup] = (await daemon.call('backup.list', { volume, status: 'error' })).backups;
  expect(backup?.fail_reason).toMatch(reason);
  if (backup === undefined) throw new Error('there is no backup in error');
  return backup;
}

/** Names in the daemon's folder that a restore may have left. */
export const leftovers = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.endsWith('.out') || name.endsWith('.partial'));

export const packsOf = (daemon: Daemon): string[] => packsIn(daemon.repositoryDir);

/** Flips a bit of the stored form of a block of noise. */
export function flipBlock(daemon: Daemon, block: Buffer): void {
  for (const path of packsOf(daemon)) {
    const pack = readFileSync(path);
    const at = pack.indexOf(block.subarray(0, 64));
    if (at < 0) continue;
    pack[at + 100] = (pack[at + 100] ?? 0) ^ 0x10;
    writeFileSync(path, pack);
    return;
  }
  throw new Error('no pack holds the block');
}

/** The source may be read by now: the first bytes were reported, and the end is not near. */
export async function underWay(daemon: Daemon, jobId: string): Promise<void> {
  for (;;) {
    const job = await daemon.call('job.show', { job: jobId });
    if (job.finished_at !== null)
      throw new Error(`job ${job.kind} has ended already: ${job.status} ${job.fault?.message ?? ''}`);
    if (job.bytes_done > 0) return;
  }
}
