/** Loop devices and what they stand on.
 *  Promises: only reads; told by the kernel's own number of the file, as its path may mean something else, or nothing, where we
 *  look from (a container that attached it); where the kernel does not say, by the path. Source: loop(4). */

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlockName, nameIn, namesIn, readText, statOf } from './block-names.ts';
import { deviceNumber, type Identity, identityOf, sameIdentity } from './locate.ts';
import type { DeviceParts } from './open-checked.ts';

export interface LoopDevice extends BlockName {
  readonly readOnly: boolean;
  readonly backing: Identity;
  /** What the kernel calls the file. */
  readonly backingPath: string;
}

type Parts = Pick<DeviceParts, 'native'>;

async function backingOf({ native }: Parts, name: BlockName, path: string): Promise<Identity | undefined> {
  const handle = await open(name.path, 'r').catch(() => undefined);
  try {
    if (handle === undefined) throw new Error('it can not be opened');
    const { device, inode, blockDevice } = await native.loopBacking(handle.fd);
    if (blockDevice !== 0n) return { kind: 'block', number: deviceNumber(blockDevice) };
    return { kind: 'file', device, inode };
  } catch {
    const stats = await statOf(path);
    return stats === undefined ? undefined : identityOf(stats);
  } finally {
    await handle?.close();
  }
}

/** Those that are attached. */
export async function* loopDevices(parts: Parts): AsyncGenerator<LoopDevice, void, undefined> {
  for (const entry of (await namesIn('/sys/block')).filter((name) => /^loop\d+$/.test(name)).sort()) {
    const folder = join('/sys/block', entry);
    const backingPath = await readText(join(folder, 'loop/backing_file'));
    const name = backingPath === undefined ? undefined : await nameIn(folder);
    if (backingPath === undefined || name === undefined) continue;
    const backing = await backingOf(parts, name, backingPath);
    if (backing === undefined) continue;
    yield { ...name, backing, backingPath, readOnly: (await readText(join(folder, 'ro'))) === '1' };
  }
}

/** Those that stand on the file or device. */
export async function loopDevicesOver(parts: Parts, identity: Identity): Promise<LoopDevice[]> {
  const found: LoopDevice[] = [];
  for await (const loop of loopDevices(parts)) if (sameIdentity(loop.backing, identity)) found.push(loop);
  return found;
}
