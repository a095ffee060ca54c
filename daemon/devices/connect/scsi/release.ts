/** Takes down what an attachment has built at the host's side: what came up above, the map, the disks; the transport comes after.
 *    users? ▶ holders ▶ map ▶ flush ▶ delete each disk ▶ gone from sysfs, /dev and multipathd ▶ WWID forgotten
 *  Promises: only disks that this attachment made appear are deleted, told by the kernel's sequence number where it has one, and those that
 *  the kernel has brought back in their place; where the journal was cut off before that was seen, only one that nobody uses; in any
 *  other state than expected, what is left is reported. May be run again after any step. */

import { Fault } from '../../../base/faults.ts';
import { compareIdentity } from '../identity.ts';
import { removePath } from '../multipath/client.ts';
import { dropPaths, forget, leaveMap } from '../multipath/leave.ts';
import { mapOver } from '../multipath/maps.ts';
import { deviceBusy, deviceLeft } from '../trouble.ts';
import type { Way } from './appear.ts';
import { bootId, type ScsiBuilt, type WayBuilt } from './built.ts';
import { diskAt, type ScsiDisk } from './disks.ts';
import { clearHolders, holdersAbove, openCount, usersOf } from './holders.ts';
import { removeDisk } from './remove.ts';
import { type Scene, until } from './scene.ts';

/** Programs that look at a disk for a moment, such as those of udev, are waited for. */
const usersLimitMs = 5_000;

export type WayOf = (way: WayBuilt) => Way;

/** The kernel numbers its disks, and the journal ends before the number was seen: it can be another one's by now, who has asked for the
 *  same unit after us. */
const isDoubtful = ({ sequence }: WayBuilt, disk: ScsiDisk): boolean =>
  sequence === null && disk.sequence !== null;

async function isOpen(scene: Scene, { folder }: ScsiDisk): Promise<boolean> {
  if ((await usersOf(scene, folder)).length > 0) return true;
  for (const { name } of await holdersAbove(scene, folder))
    if (name === null || ((await openCount(scene, name)) ?? 0) > 0) return true;
  return false;
}

/** One that is used is not ours: nothing was handed out of what the journal does not know. */
async function isLeftTo(scene: Scene, disk: ScsiDisk): Promise<boolean> {
  const unused = async () => ((await isOpen(scene, disk)) ? undefined : true);
  if ((await until(scene, unused, { limitMs: usersLimitMs, everyMs: 500 })) === true) return false;
  scene.context.note(`${disk.device} stays: it was perhaps not made here, and is in use`);
  return true;
}

/** One that the kernel has brought back in the place of ours, with its port: as long as it is the volume, and nobody uses it but by a
 *  map of ours, of which its users are asked when that is left. */
async function hasReturned(
  scene: Scene,
  disk: ScsiDisk,
  { identity: wanted, map }: Pick<ScsiBuilt, 'identity' | 'map'>,
): Promise<boolean> {
  const { context } = scene;
  const now = await context.probe.scsiIdentity(disk.device).catch(() => undefined);
  if (wanted === null || now === undefined || !compareIdentity(wanted, now).same) return false;
  const over = await mapOver(context.folders, disk);
  const inOurs = over !== undefined && map?.made === true && over.wwid === map.wwid;
  if (!inOurs && (over !== undefined || (await isOpen(scene, disk)))) return false;
  context.note(`${disk.device} has come back by itself, and goes with the others`);
  return true;
}

/** The disks at the ways that were made, or at those that were there before, that are still the same. */
async function disksAt(scene: Scene, built: ScsiBuilt, wayOf: WayOf, made: boolean): Promise<ScsiDisk[]> {
  const found: ScsiDisk[] = [];
  for (const entry of built.ways.filter((one) => one.made === made)) {
    const way = wayOf(entry);
    const address = await way.address();
    const disk = address === undefined ? undefined : await diskAt(scene.context.folders, address);
    if (disk === undefined) continue;
    const other = entry.sequence !== null && disk.sequence !== entry.sequence;
    if (other && !(made && way.returns === true && (await hasReturned(scene, disk, built)))) continue;
    if (made && isDoubtful(entry, disk) && (await isLeftTo(scene, disk))) continue;
    found.push(disk);
  }
  return found;
}

const namesOf = (disks: readonly ScsiDisk[]): string[] => disks.map(({ name }) => name);

/** A disk that stands alone, or in a map that is not ours. */
async function free(scene: Scene, disk: ScsiDisk): Promise<void> {
  const { context, what } = scene;
  if ((await mapOver(context.folders, disk)) !== undefined) {
    await removePath(context, disk.name);
    const none = async () => ((await mapOver(context.folders, disk)) === undefined ? true : undefined);
    await until(scene, none, { limitMs: usersLimitMs });
    return;
  }
  const used = await clearHolders(scene, disk.folder);
  if (used.length > 0) throw deviceBusy(what, used);
  let users: string[] = [];
  const unused = async () => {
    users = await usersOf(scene, disk.folder);
    return users.length === 0 ? true : undefined;
  };
  if ((await until(scene, unused, { limitMs: usersLimitMs, everyMs: 500 })) !== true)
    throw deviceBusy(what, users);
  await context.probe.flush(disk.device).catch((thrown: unknown) => {
    context.note(thrown instanceof Error ? thrown.message : String(thrown));
  });
}

async function removeAll(scene: Scene, disks: readonly ScsiDisk[]): Promise<void> {
  const answers = await Promise.all(
    disks.map(async (disk) => ({ disk, why: await removeDisk(scene, disk) })),
  );
  const left = answers.filter(({ why }) => why !== undefined);
  if (left.length > 0) {
    const names = left.map(({ disk }) => disk.device);
    throw deviceLeft(scene.what, names, left.map(({ why }) => why).join('; '));
  }
  const paths = await dropPaths(scene, namesOf(disks));
  if (paths.length > 0) throw deviceLeft(scene.what, paths, 'multipathd does not let go of its paths');
}

/** True where the host is still the one that it was built on: it has not been restarted since. */
export const sameBoot = async ({ boot }: ScsiBuilt): Promise<boolean> => boot === (await bootId());

export async function release(scene: Scene, built: ScsiBuilt, wayOf: WayOf): Promise<void> {
  if (await sameBoot(built)) {
    const disks = await disksAt(scene, built, wayOf, true);
    const found = await disksAt(scene, built, wayOf, false);
    if (built.map !== null) await leaveMap(scene, built.map, { made: namesOf(disks), found: namesOf(found) });
    for (const disk of disks) await free(scene, disk);
    await removeAll(scene, disks);
  }
  if (built.map === null) return;
  await forget(scene, built.map).catch((thrown: unknown) => {
    if (!(thrown instanceof Fault) || thrown.code !== 'TOOL_MISSING') throw thrown;
  });
}
