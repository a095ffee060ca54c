/** What stands on a disk or a map: device mapper devices, RAID, and whoever has it open or mounted.
 *  Promises: only what nobody has open is taken down, from the top; of others is said what they are. Guests' own volume groups come
 *  up by themselves when the host's udev sees them: `dmsetup remove` takes them down without reading what the guest wrote. */

import { readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseMountTable } from '../../../base/mount-table.ts';
import { namesIn, readText } from '../../block-names.ts';
import { partitionsOf } from './disks.ts';
import type { Scene } from './scene.ts';

export interface Holder {
  /** "dm-4", "md0" */
  readonly node: string;
  readonly folder: string;
  /** As device mapper knows it; null: it is something else. */
  readonly name: string | null;
  /** "LVM-…", "part1-mpath-…", "mpath-…" */
  readonly uuid: string;
}

const holderDepthMax = 8;

/** They look after disks, and let go of one that is removed. */
const caretakers = new Set(['multipathd', 'systemd-udevd', '(udev-worker)', 'udevadm']);

async function holderOf(scene: Scene, node: string): Promise<Holder> {
  const folder = join(scene.context.folders.sys, 'block', node);
  const name = (await readText(join(folder, 'dm/name'))) ?? null;
  return { node, folder, name, uuid: (await readText(join(folder, 'dm/uuid'))) ?? '' };
}

/** Those directly on it or on one of its partitions. */
export async function holdersOn(scene: Scene, folder: string): Promise<Holder[]> {
  const folders = [folder, ...(await partitionsOf(folder))];
  const nodes = (await Promise.all(folders.map((one) => namesIn(join(one, 'holders'))))).flat();
  return Promise.all([...new Set(nodes)].sort().map((node) => holderOf(scene, node)));
}

/** All above it, the topmost first. */
export async function holdersAbove(scene: Scene, folder: string, depth = holderDepthMax): Promise<Holder[]> {
  if (depth === 0) return [];
  const own = await holdersOn(scene, folder);
  const above = await Promise.all(own.map((one) => holdersAbove(scene, one.folder, depth - 1)));
  const all = [...above.flat(), ...own];
  return all.filter((one, at) => all.findIndex(({ node }) => node === one.node) === at);
}

/** How many have it open; undefined where nobody can say. */
export async function openCount({ context }: Scene, name: string): Promise<number | undefined> {
  const words = ['info', '--columns', '--noheadings', '--options', 'open', name];
  const { status, stdout } = await context.tools.run('dmsetup', words, { timeoutMs: 10_000 });
  const count = Number(stdout.trim());
  return status === 0 && stdout.trim() !== '' && Number.isSafeInteger(count) ? count : undefined;
}

const called = ({ name, node }: Holder): string =>
  name === null ? `/dev/${node}` : `${name} (/dev/${node})`;

/** Takes down what stands above and nobody has open. What is left is in use: each as "name (what it is)". */
export async function clearHolders(scene: Scene, folder: string): Promise<string[]> {
  const used: string[] = [];
  for (const holder of await holdersAbove(scene, folder)) {
    if (holder.name === null) {
      used.push(called(holder));
      continue;
    }
    const open = await openCount(scene, holder.name);
    if (open === undefined) continue;
    if (open > 0) {
      used.push(called(holder));
      continue;
    }
    scene.context.note(`"${holder.name}" came up on "/dev/${basename(folder)}" by itself and is taken down`);
    const words = ['remove', '--retry', holder.name];
    const { status, complaint } = await scene.context.tools.run('dmsetup', words, { timeoutMs: 30_000 });
    if (status !== 0 && (await openCount(scene, holder.name)) !== undefined)
      used.push(`${called(holder)}: ${complaint}`);
  }
  return used;
}

/** Processes that have a device open by its own name, and where it or a partition of it is mounted. */
export async function usersOf(scene: Scene, folder: string): Promise<string[]> {
  const folders = [folder, ...(await partitionsOf(folder))];
  const numbers = new Set(await Promise.all(folders.map((one) => readText(join(one, 'dev')))));
  const names = new Set(folders.map((one) => join(scene.context.folders.dev, basename(one))));
  const mounts = parseMountTable((await readText('/proc/self/mountinfo')) ?? '');
  const used = mounts.flatMap(({ device, directory }) =>
    numbers.has(device) ? [`mounted on ${directory}`] : [],
  );
  for (const pid of (await namesIn('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (pid === String(process.pid)) continue;
    const open = `/proc/${pid}/fd`;
    for (const descriptor of await namesIn(open)) {
      const path = await readlink(join(open, descriptor)).catch(() => '');
      if (!names.has(path)) continue;
      const command = (await readText(`/proc/${pid}/comm`)) ?? 'gone';
      if (!caretakers.has(command)) used.push(`process ${pid} (${command})`);
      break;
    }
  }
  return used;
}
