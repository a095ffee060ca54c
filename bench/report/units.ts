/** Numbers as the report shows them. */

import { GiB, MiB } from '../../daemon/base/bytes.ts';
import type { Sample } from '../measure/sample.ts';

export const fixed = (value: number, digits: number): string => value.toFixed(digits);
/** Three digits that mean something. */
export const brief = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
export const mebibytes = (bytes: number): string => brief(bytes / MiB);
export const gibibytes = (bytes: number): string => `${brief(bytes / GiB)} GiB`;
export const throughput = (sample: Sample): number => sample.bytes / MiB / sample.seconds;
export const cpuPerGib = (sample: Sample): number => sample.cpuSeconds / (sample.bytes / GiB);
