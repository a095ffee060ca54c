/** Evidence that nobody has written to a file or device: equal texts at two moments mean equal bytes.
 *  Promises: what was written before the evidence is taken is durable (it is synced first), so that it holds over a power cut, too;
 *  where the kernel can't say, there is none. Counts writes of this host only: nobody else may write to a device that is backed
 *  up. Source: sysfs-block and proc (kernel, ABI), "stat" of a disk, "diskseq", "boot_id". */

import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { blockName, readText, statOf } from './block-names.ts';
import type { Evidence } from './device.ts';
import type { Place } from './locate.ts';
import type { DeviceParts } from './open-checked.ts';

export async function evidenceOf(
  parts: DeviceParts,
  place: Place,
  handle: FileHandle,
): Promise<Evidence | undefined> {
  const synced = await parts.native.sync(handle.fd).then(
    () => true,
    () => false,
  );
  if (!synced) return undefined;
  if (place.identity.kind === 'block') return blockEvidence(place.identity.number);
  return fileEvidence(await handle.stat({ bigint: true }));
}

type Stats = NonNullable<Awaited<ReturnType<typeof statOf>>>;

function fileEvidence({ dev, ino, size, mtimeNs, ctimeNs }: Stats): Evidence {
  const changedAtMs = Number((mtimeNs > ctimeNs ? mtimeNs : ctimeNs) / 1_000_000n);
  return { text: `file ${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`, changedAtMs };
}

/** Fields of "stat", counted from 0: what was written and discarded, in sectors. */
const writtenField = 6;
const discardedField = 13;

async function blockEvidence(number: string): Promise<Evidence | undefined> {
  const own = await blockName(number);
  if (own === undefined) return undefined;
  // A write to the whole disk changes a partition, and counts only there.
  const isPartition = (await readText(join(own.folder, 'partition'))) !== undefined;
  const disk = isPartition ? dirname(own.folder) : own.folder;
  // Not every driver counts, and counting can be switched off: then equal numbers say nothing.
  if ((await readText(join(disk, 'queue/iostats')))?.trim() !== '1') return undefined;
  const counted = (await readText(join(disk, 'stat')))?.trim().split(/\s+/);
  const texts = [
    await readText(join(own.folder, 'size')),
    await readText(join(disk, 'diskseq')),
    await readText('/proc/sys/kernel/random/boot_id'),
    counted?.[writtenField],
  ];
  if (texts.includes(undefined)) return undefined;
  const text = `block ${number} ${[...texts, counted?.[discardedField] ?? ''].join(' ')}`;
  const backing = await readText(join(disk, 'loop/backing_file'));
  if (backing === undefined) return { text, changedAtMs: 0 };
  // What is written to the file under a loop device does not pass through the device.
  const stats = await statOf(backing);
  if (stats === undefined) return undefined;
  const file = fileEvidence(stats);
  const window = [await readText(join(disk, 'loop/offset')), await readText(join(disk, 'loop/sizelimit'))];
  return { text: `${text} over ${backing} ${window.join(' ')} ${file.text}`, changedAtMs: file.changedAtMs };
}
