/** Numbers of units, as storage administrators write them and as the kernel counts. Pure. Source: SAM-5 4.7,
 *  drivers/scsi/scsi_common.c (scsilun_to_int). */

import { Fault } from '../../../base/faults.ts';

const lunMax = 65_535;
const flatMax = 16_384;
const addressings = ['SAM', 'transparent', 'SAM2', 'SAM3-flat'];

const refuse = (what: string, why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use ${what}: ${why}`);

export function readLun(value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 && number <= lunMax)
    return number;
  throw refuse(`"${String(value).slice(0, 20)}" as a LUN`, `it is no number from 0 to ${lunMax}`);
}

/** Of a document: none means the usual one. */
export const addressingOf = (value: unknown): string =>
  typeof value === 'string' ? value : value === undefined || value === null ? 'SAM' : '?';

/** The kernel has the method of addressing in its number. */
export function kernelLun(lun: number, addressing: string): number {
  if (!addressings.includes(addressing))
    throw refuse(`"${addressing.slice(0, 20)}" as an addressing mode`, `known are ${addressings.join(', ')}`);
  const flat = addressing === 'SAM3-flat' || (addressing === 'SAM2' && lun >= 256);
  if (flat && lun >= flatMax) throw refuse(`LUN ${lun}`, `flat addressing ends at ${flatMax - 1}`);
  return flat ? lun + flatMax : lun;
}

export interface ShownLun {
  readonly lun: number;
  /** What a URL has to say beside it. */
  readonly addressing: string | null;
}

export const shownLun = (kernel: number): ShownLun =>
  kernel >= flatMax && kernel < 2 * flatMax
    ? { lun: kernel - flatMax, addressing: 'SAM3-flat' }
    : { lun: kernel, addressing: null };
