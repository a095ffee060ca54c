/** What tests of the iSCSI connector share: the initiator's side, marks on volumes, and that nothing is left. */

import { execFileSync } from 'node:child_process';
import { expect, onTestFinished } from 'vitest';
import type { Observation } from '../../../daemon/devices/connect/connector.ts';
import { leftovers } from './leftovers.ts';
import { laidLinks } from './links.ts';
import type { ArrayVolume } from './lio.ts';
import { settled, startIscsid, startMultipathd } from './services.ts';

/** The policy of one path without a map. */
export const single = { multipath: false, enforceMultipath: false };

export async function initiatorReady(): Promise<void> {
  await startIscsid();
  await startMultipathd();
  laidLinks();
}

export const states = ({ paths }: Observation): string[] => paths.map(({ state }) => state);

/** Loop devices that udev looks at when they are taken away go a moment later. */
function leftNow(): ReturnType<typeof leftovers> {
  settled();
  return leftovers();
}

/** At the end of the test the machine is as it is now. */
export function nothingLeft(): void {
  const before = leftNow();
  onTestFinished(() => expect(leftNow()).toEqual(before));
}

/** Writes a text to the begin of a volume, on the array. */
export const marked = (volume: ArrayVolume, text: string): void => {
  execFileSync('dd', [`of=${volume.device}`, 'conv=fsync,notrunc', 'status=none'], { input: text });
};

/** The first bytes of a device, past the page cache. */
export const head = (device: string, length: number): string =>
  execFileSync('dd', [`if=${device}`, 'iflag=direct', 'bs=4096', 'count=1', 'status=none'])
    .subarray(0, length)
    .toString();
