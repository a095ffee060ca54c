/** Loop devices over images of the view. Source: loop(4), losetup(8), /sys/block/loopN/loop.
 *  Promises: devices are read-only; a device is only ever given back while its backing file is the one expected. */

import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '../base/faults.ts';
import { loopGoneTimeoutMs } from '../base/limits.ts';
import { runCommand } from './commands.ts';
import type { Volume } from './partitions.ts';

const pollMs = 20;
const deletedEnding = / ?\(deleted\)$/;

/** The new device, for example "/dev/loop3". MOUNT_FAILED. */
export async function attachLoop(imagePath: string, { offset, sizeBytes }: Volume): Promise<string> {
  const range = offset === 0 ? [] : ['--offset', String(offset)];
  if (sizeBytes !== undefined) range.push('--sizelimit', String(sizeBytes));
  const { ok, output, complaint } = await runCommand('losetup', '-r', '-f', '--show', ...range, imagePath);
  if (ok && /^\/dev\/loop\d+$/.test(output)) return output;
  throw new Fault('MOUNT_FAILED', `Cannot make a loop device of "${imagePath}": ${complaint}`, {
    hint: 'Making a loop device needs root and the kernel module loop',
  });
}

/** The file under a loop device, without the kernel's note that its name has gone; undefined where it has none. */
export async function backingFile(loopDevice: string): Promise<string | undefined> {
  const name = basename(loopDevice);
  try {
    const text = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8');
    return text.replace(/\n$/, '').replace(deletedEnding, '');
  } catch {
    return undefined;
  }
}

/** Gives the device back if its file is one that `isOurs` knows; anything else is left alone. False where something
 *  still holds it after `timeoutMs`: then it goes when that lets go of it. */
export async function detachLoop(
  loopDevice: string,
  isOurs: (path: string) => boolean,
  timeoutMs = loopGoneTimeoutMs,
): Promise<boolean> {
  const stillOurs = async () => {
    const file = await backingFile(loopDevice);
    return file !== undefined && isOurs(file);
  };
  if (!(await stillOurs())) return true;
  await runCommand('losetup', '-d', loopDevice);
  // The kernel ends the device when its last user has closed it, and udev may be looking at it just now.
  for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += pollMs) {
    if (!(await stillOurs())) return true;
    await wait(pollMs);
  }
  return false;
}

/** All loop devices whose file `isOurs` knows. */
export async function findLoops(isOurs: (path: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir('/sys/block')) {
    if (!/^loop\d+$/.test(name)) continue;
    const file = await backingFile(name);
    if (file !== undefined && isOurs(file)) found.push(`/dev/${name}`);
  }
  return found;
}
