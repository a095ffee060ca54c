/** Takes away what is mounted at a folder, if it is ours.
 *  Promises: nothing that is not ours is touched, and what is not there is no fault; who keeps it busy is told by name.
 *  Works when the view under it is dead. */

import { Fault } from '../base/faults.ts';
import { type MountEntry, mountedAt } from '../base/mount-table.ts';
import { runCommand } from './commands.ts';
import { describeHolder, findHolders } from './holders.ts';

export interface UnmountOptions {
  /** Detach although something still uses it; it goes when that has ended. */
  readonly lazy: boolean;
}

/** MOUNT_BUSY, with who uses it; MOUNT_FAILED. */
export async function unmountAt(
  directory: string,
  isOurs: (entry: MountEntry) => boolean,
  { lazy }: UnmountOptions,
): Promise<void> {
  const before = await mountedAt(directory);
  if (before === undefined || !isOurs(before)) return;
  // As it is: a dead mount can't be looked at.
  const { complaint } = await runCommand('umount', '-c', ...(lazy ? ['-l'] : []), directory);
  const after = await mountedAt(directory);
  if (after?.id !== before.id) return;
  const holders = await findHolders(before);
  if (holders.length === 0 && !/busy/.test(complaint))
    throw new Fault('MOUNT_FAILED', `Cannot unmount "${directory}": ${complaint}`, {
      hint: 'Unmount it with: basaltctl unmount DIR --lazy',
    });
  const who = holders.length === 0 ? 'something still uses it' : holders.map(describeHolder).join('; ');
  throw new Fault('MOUNT_BUSY', `Cannot unmount "${directory}": ${who}`, { details: { holders } });
}
