/** Volumes of an array, as a daemon in the guest knows them, and what is asked of them in the end.
 *  Promises: `nothingLeft` fails the test where an attachment left anything on the host, once everything else was undone. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished } from 'vitest';
import type { BackupValue } from '../../../daemon/protocol/values.ts';
import { Daemon, type DaemonOptions, eventually } from '../../support/daemon.ts';
import { firstDifference, noise } from '../../support/volume-model.ts';
import { leftovers } from './leftovers.ts';
import { laidLinks } from './links.ts';
import { ArrayVolume, type Chap, portals, Target } from './lio.ts';
import { startIscsid, startMultipathd } from './services.ts';

export const MiB = 2 ** 20;

/** Call it first: what is registered first is looked at last. */
export async function hostReady(): Promise<void> {
  await startIscsid();
  await startMultipathd();
  laidLinks();
  const before = leftovers();
  onTestFinished(async () => {
    // udev and multipathd finish what they are at.
    await eventually('nothing is left', () => JSON.stringify(leftovers()) === JSON.stringify(before)).catch(
      () => undefined,
    );
    expect(leftovers()).toEqual(before);
  });
}

export interface RemoteVolume {
  readonly target: Target;
  readonly volume: ArrayVolume;
  readonly bytes: Buffer;
  readonly url: string;
}

export const urlOf = (target: Target, lun: number, more = ''): string =>
  `iscsi://${portals.join(',')}/${target.iqn}/${lun}${more}`;

/** A volume of noise behind two portals. */
export function remoteVolume(options: { sizeBytes: number; seed?: number; chap?: Chap }): RemoteVolume {
  const volume = ArrayVolume.ofSize(options.sizeBytes);
  const bytes = noise(options.sizeBytes, options.seed ?? 1);
  writeFileSync(volume.device, bytes, { flush: true });
  const target = Target.start(options.chap === undefined ? {} : { chap: options.chap });
  target.addLun(1, volume);
  return { target, volume, bytes, url: urlOf(target, 1) };
}

/** A daemon that uses all paths, and gives up what does not come in a minute. */
export async function daemonOfGuest(options: DaemonOptions = {}): Promise<Daemon> {
  const settings = `use_multipath = true\nattach_timeout = 60\n${options.settings ?? ''}`;
  const daemon = await Daemon.start({ ...options, settings });
  onTestFinished(async () => {
    await daemon.stop().catch(() => undefined);
    await daemon.dispose();
  });
  return daemon;
}

/** A job has come so far, and goes on. */
export const bytesCome = (daemon: Daemon, id: string, bytes = 1): Promise<unknown> =>
  eventually(
    'bytes have come',
    async () => {
      const job = await daemon.call('job.show', { job: id });
      if (job.finished_at !== null) throw new Error(`it has ended: ${JSON.stringify(job.fault)}`);
      return job.bytes_done >= bytes;
    },
    90_000,
  );

/** A backup of one volume of an array, and another volume of it, `onto`, to restore it to at `order`. */
export async function restoreOnArray(sizeBytes: number) {
  await hostReady();
  const { url, target, bytes } = remoteVolume({ sizeBytes });
  const onto = ArrayVolume.ofSize(sizeBytes);
  target.addLun(2, onto);
  const daemon = await daemonOfGuest();
  await daemon.addVolume('v', url);
  const { id } = await daemon.backUp('v');
  return { daemon, target, onto, bytes, order: { backup: id, target: urlOf(target, 2), force: true } };
}

/** A backup that is slow enough for something to happen meanwhile; resolves when bytes have come. */
export async function slowBackup(daemon: Daemon, volume: string, bytesPerSecond: number) {
  const started = await daemon.call('backup.create', { volume, rate: bytesPerSecond });
  await bytesCome(daemon, started.job_id);
  return started;
}

export async function expectBytes(
  daemon: Daemon,
  { id }: Pick<BackupValue, 'id'>,
  bytes: Buffer,
): Promise<void> {
  const target = `${daemon.folder}/restored-${id}`;
  await daemon.done(daemon.call('backup.restore', { backup: id, target }));
  expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
}

/** Threads of the process that wait in the kernel and can't be killed. */
export const stuckThreads = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/task`).filter((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'D';
  });
