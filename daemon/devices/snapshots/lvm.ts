/** Snapshots of volumes of LVM, thick and thin.
 *  Promises: read-only; the name, and a tag, tell whose it is; a thick one has the room that the settings say, and gets more while it
 *  is read; in a thin pool that is nearly full there is none, and one that is read is given up before the pool is full.
 *  Source: lvcreate(8), lvmthin(7). */

import { fstat } from 'node:fs';
import { promisify } from 'node:util';
import { Fault } from '../../base/faults.ts';
import { activate, change, deactivate, remove } from '../connect/lvm/commands.ts';
import { deviceOf, volumeBehind } from '../connect/lvm/device.ts';
import { releaseLeft } from '../connect/lvm/metadata-snapshot.ts';
import { flawOf, formatVolumeUrl, parseVolumeUrl, type VolumeName, wordOf } from '../connect/lvm/names.ts';
import { findVolume, type LogicalVolume } from '../connect/lvm/report.ts';
import type { Tools } from '../connect/tools.ts';
import type { Source } from '../device.ts';
import { formatDeviceUrl } from '../device-url.ts';
import { identityOf } from '../locate.ts';
import { type ChangesParts, changesBetween, markOf, orWhy } from './lvm-changes.ts';
import { poolFlaw, roomFor } from './lvm-room.ts';
import { lostFault, troubleOf, watchSnapshot } from './lvm-watch.ts';
import {
  type PreparedSnapshot,
  type ReadableSnapshot,
  type SnapshotMaker,
  SnapshotRefused,
} from './maker.ts';

export type LvmParts = ChangesParts;

const tag = 'basalt';
const ourName = /^basalt-[0-9a-f]{32}$/;

export const lvmSnapshots = (parts: LvmParts): SnapshotMaker => ({
  kind: 'lvm',
  placeFor: async (source, id) => {
    const origin = await originOf(source);
    if (origin === undefined) return undefined;
    return formatVolumeUrl({ group: origin.group, volume: `basalt-${id.replaceAll('-', '')}` });
  },
  isPlace,
  urlOf: (place) => place,
  placeIn: (url) => url,
  prepare: (source, place) => orWhy(() => prepare(parts, source, place)),
  open: (place) => orWhy(() => open(parts, place)),
  remove: (place) => remove(parts.tools, ours(place), isOurs),
  burden: (place) => burdenOf(parts, ours(place)),
  recover: () => releaseLeft(parts),
});

function isPlace(text: string): boolean {
  const [, group, volume] = /^lvm:([^/]+)\/([^/]+)$/.exec(text) ?? [];
  if (group === undefined || volume === undefined) return false;
  return ourName.test(volume) && flawOf({ group, volume }) === undefined;
}

function ours(place: string): VolumeName {
  if (isPlace(place)) return parseVolumeUrl(place);
  throw new Fault('DEVICE_FAILED', `Cannot use "${place}" as a snapshot of ours: it is none`);
}

const isOurs = ({ volume, tags }: LogicalVolume): boolean => ourName.test(volume) && tags.includes(tag);

const statOf = promisify(fstat);

/** What is open, not what a name leads to. */
async function originOf({ fd }: Source): Promise<Awaited<ReturnType<typeof volumeBehind>>> {
  const identity = identityOf(await statOf(fd, { bigint: true }));
  return identity.kind === 'block' ? volumeBehind(identity.number) : undefined;
}

async function prepare(parts: LvmParts, source: Source, place: string): Promise<PreparedSnapshot | string> {
  const behind = await originOf(source);
  const origin = behind === undefined ? undefined : await findVolume(parts.tools, behind);
  if (origin === undefined || origin.volumeId !== behind?.volumeId || origin.groupId !== behind.groupId)
    return 'LVM does not know the volume any more';
  if (origin.unusable !== undefined) return origin.unusable;
  const form = await formOf(parts, origin);
  if (typeof form === 'string') return form;
  return {
    take: () => create(parts, origin, ours(place), form),
    finish: async () => {
      const made = await findVolume(parts.tools, ours(place));
      if (made !== undefined) return made.sizeBytes;
      throw new Fault('DEVICE_FAILED', `Cannot find "${place}": it was just made`);
    },
    close: () => Promise.resolve(),
  };
}

/** Words that make a snapshot of this kind; or why there can be none. */
async function formOf({ tools, lvm }: LvmParts, origin: LogicalVolume): Promise<readonly string[] | string> {
  if (origin.kind === 'thick') {
    const room = roomFor(origin, lvm);
    return typeof room === 'string' ? room : ['--extents', String(room)];
  }
  const pool = await poolOf(tools, origin);
  if (pool === undefined) return 'its thin pool can not be found';
  return poolFlaw(pool, lvm) ?? ['--setactivationskip', 'y'];
}

/** A thick one takes part in every write to its volume; a thin one keeps what the volume has changed since from being free again. */
async function burdenOf({ tools, lvm }: LvmParts, name: VolumeName): Promise<string | undefined> {
  const found = await findVolume(tools, name);
  if (found === undefined || found.unusable !== undefined) return 'it is gone';
  if (found.kind === 'thick') return 'every write to its volume waits for it';
  const pool = await poolOf(tools, found);
  return pool === undefined ? 'its thin pool can not be found' : poolFlaw(pool, lvm);
}

const poolOf = (tools: Tools, { group, pool }: LogicalVolume): Promise<LogicalVolume | undefined> =>
  pool === null ? Promise.resolve(undefined) : findVolume(tools, { group, volume: pool });

async function create(
  { tools }: LvmParts,
  origin: LogicalVolume,
  name: VolumeName,
  form: readonly string[],
): Promise<void> {
  const words = ['--yes', '--permission', 'r', '--addtag', tag, '--name', name.volume, ...form];
  try {
    await change(tools, 'lvcreate', [...words, '--snapshot', wordOf(origin)]);
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    await undo(tools, origin, name);
    throw new SnapshotRefused(`lvcreate says: ${causeOf(thrown)}`);
  }
}

/** LVM says first what went wrong, and then what follows from that. */
function causeOf({ details, message }: Fault): string {
  const said = typeof details?.['stderr'] === 'string' ? details['stderr'].split('\n') : [];
  const cause = said.map((line) => line.trim()).find((line) => line !== '' && !line.startsWith('WARNING'));
  return cause ?? message;
}

/** Where the origin can't be suspended, as when its file system is frozen, LVM leaves parts of both behind, and says "Manual
 *  intervention required". */
async function undo(tools: Tools, origin: VolumeName, name: VolumeName): Promise<void> {
  await remove(tools, name, isOurs);
  await change(tools, 'lvchange', ['--refresh', wordOf(origin)]).catch(() => undefined);
}

async function open(parts: LvmParts, place: string): Promise<ReadableSnapshot | string> {
  const { tools } = parts;
  const name = ours(place);
  const found = await findVolume(tools, name);
  if (found === undefined) return 'it is gone';
  if (!isOurs(found)) return 'it was not made by Basalt';
  if (found.unusable !== undefined) return found.unusable;
  const active = found.number === null ? await activate(tools, name) : found;
  const device = await deviceOf(active);
  if (device === undefined) return 'its device is not there';
  const pool = active.kind === 'thin' ? await poolOf(tools, active) : undefined;
  const watched = { snapshot: active, pool };
  const mark = markOf(active);
  return {
    comparable: mark && {
      mark,
      changesSince: (earlier, order) =>
        orWhy(() => changesBetween(parts, earlier, active, order), order.signal),
    },
    url: formatDeviceUrl('block', device),
    watch: (lost) => watchSnapshot(parts, watched, lost),
    trouble: async () => {
      const why = await troubleOf(parts, watched);
      return why === undefined ? undefined : lostFault(active, why);
    },
    // A thick one takes part in every write to its origin, active or not.
    release: async () => {
      if (found.number === null && active.kind === 'thin') await deactivate(tools, name);
    },
  };
}
