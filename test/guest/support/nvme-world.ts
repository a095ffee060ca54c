/** What tests of NVMe share: a subsystem with one volume, and that nothing is left.
 *  Promises: `nvmeReady` fails the test where an attachment left anything on the host, once everything else was undone. */

import { expect, onTestFinished } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { noise } from '../../support/volume-model.ts';
import { modprobe } from './inside.ts';
import { leftovers } from './leftovers.ts';
import { laidLinks } from './links.ts';
import { type NvmeVolume, nvmeVolume, Subsystem } from './nvmet.ts';

/** Call it first: what is registered first is looked at last. */
export function nvmeReady(): void {
  modprobe('nvme-tcp');
  laidLinks();
  const before = leftovers();
  onTestFinished(async () => {
    const same = () => JSON.stringify(leftovers()) === JSON.stringify(before);
    await eventually('nothing is left', same, 10_000).catch(() => undefined);
    expect(leftovers()).toEqual(before);
  });
}

export interface NvmeArray {
  readonly subsystem: Subsystem;
  readonly volume: NvmeVolume;
  readonly bytes: Buffer;
  /** By its UUID, over both portals. */
  readonly url: string;
}

/** A subsystem with a volume of noise as namespace 1. */
export function nvmeArray(sizeBytes: number, nqn?: string): NvmeArray {
  const bytes = noise(sizeBytes, 1);
  const volume = nvmeVolume(bytes);
  const subsystem = Subsystem.start(nqn);
  subsystem.show(1, volume);
  return { subsystem, volume, bytes, url: subsystem.url(`uuid=${volume.uuid}`) };
}
