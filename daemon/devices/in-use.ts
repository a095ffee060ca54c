/** Who uses a file or block device: mounts, devices stacked on it, swap, loop devices, processes that write to it.
 *  Promises: an empty answer means that nothing this host can show uses it; each entry is a phrase that follows "it is".
 *  What only the kernel knows shows in the exclusive open of devices, whose outcome the caller hands in. */

import { usesShownMax } from '../base/limits.ts';
import { type BlockName, holdersOf, relatedDevices } from './block-names.ts';
import { type Identity, identityKey } from './locate.ts';
import { loopDevices, loopDevicesOver } from './loops.ts';
import { listMounts, listSwaps } from './mount-table.ts';
import type { DeviceParts } from './open-checked.ts';
import { findWriters, kernelInodeOf } from './writers.ts';

export interface InUseOptions {
  readonly fd: number;
  readonly identity: Identity;
  /** True where an exclusive open of the device was refused. */
  readonly claimed: boolean;
  /** Uses that can't change a byte don't matter to a reader. */
  readonly purpose: 'read' | 'write';
}

type Phrase = (number: string, use: string) => string;

/** Says which device is meant, unless it is the one that was asked about. */
const phraseFor =
  (own: string, names: readonly BlockName[]): Phrase =>
  (number, use) => {
    const path = names.find((name) => name.number === number)?.path ?? number;
    return number === own ? use : `"${path}" is ${use}`;
  };

/** Uses of the devices `names` that the kernel's tables show. */
async function tableUses(names: readonly BlockName[], phrase: Phrase): Promise<string[]> {
  const uses: string[] = [];
  const mounts = await listMounts();
  const swaps = await listSwaps();
  for (const name of names) {
    for (const mount of mounts.filter((mount) => mount.number === name.number)) {
      uses.push(phrase(name.number, `mounted at "${mount.mountPoint}"`));
    }
    for (const holder of await holdersOf(name)) uses.push(phrase(name.number, `held by "${holder}"`));
    if (swaps.has(`block ${name.number}`)) uses.push(phrase(name.number, 'used as swap'));
  }
  return uses;
}

/** Loop devices over the file or device, each with what uses it in turn. */
async function loopUses(
  parts: DeviceParts,
  identity: Identity,
  purpose: 'read' | 'write',
  phrase: Phrase,
): Promise<string[]> {
  const uses: string[] = [];
  for (const loop of await loopDevicesOver(parts, identity)) {
    if (purpose === 'read' && loop.readOnly) continue;
    const number = identity.kind === 'block' ? identity.number : '';
    uses.push(phrase(number, `attached to "${loop.path}"`));
    const related = await relatedDevices(loop.number);
    uses.push(...(await tableUses(related, phraseFor(number, related))));
  }
  return uses;
}

/** Processes that write to the file under a loop device, past the device. */
async function usesBelow(parts: DeviceParts, names: readonly BlockName[]): Promise<string[]> {
  const uses: string[] = [];
  for await (const { number, backing, backingPath } of loopDevices(parts)) {
    if (backing.kind !== 'file' || !names.some((name) => name.number === number)) continue;
    const wanted = { keys: new Set([identityKey(backing)]), kernelInode: String(backing.inode) };
    for (const { pid, command } of await findWriters(parts, wanted))
      uses.push(`on "${backingPath}", which is open for writing by process ${pid} "${command}"`);
  }
  return uses;
}

async function blockUses(parts: DeviceParts, number: string, options: InUseOptions): Promise<string[]> {
  const names = await relatedDevices(number);
  const phrase = phraseFor(number, names);
  const uses = await tableUses(names, phrase);
  for (const name of names) {
    uses.push(...(await loopUses(parts, { kind: 'block', number: name.number }, options.purpose, phrase)));
  }
  const keys = new Map(names.map((name) => [`block ${name.number}`, name.number]));
  for (const writer of await findWriters(parts, { keys: new Set(keys.keys()), kernelInode: undefined })) {
    const use = `open for writing by process ${writer.pid} "${writer.command}"`;
    uses.push(phrase(keys.get(writer.key) ?? number, use));
  }
  uses.push(...(await usesBelow(parts, names)));
  if (options.claimed && uses.length === 0) uses.push('claimed by another program or the kernel');
  return uses;
}

async function fileUses(parts: DeviceParts, options: InUseOptions): Promise<string[]> {
  const key = identityKey(options.identity);
  const uses = (await listSwaps()).has(key) ? ['used as swap'] : [];
  uses.push(...(await loopUses(parts, options.identity, options.purpose, phraseFor('', []))));
  const kernelInode = (await kernelInodeOf(options.fd)) ?? '';
  for (const writer of await findWriters(parts, { keys: new Set([key]), kernelInode })) {
    uses.push(`open for writing by process ${writer.pid} "${writer.command}"`);
  }
  return uses;
}

/** Phrases such as `mounted at "/srv"`, a bounded number of them; empty where nobody uses it. */
export async function findUses(parts: DeviceParts, options: InUseOptions): Promise<string[]> {
  const { identity } = options;
  const uses =
    identity.kind === 'block'
      ? await blockUses(parts, identity.number, options)
      : await fileUses(parts, options);
  if (uses.length <= usesShownMax) return uses;
  return [...uses.slice(0, usesShownMax), `used in ${uses.length - usesShownMax} more ways`];
}
