/** Rates as they are typed: bytes a second, `50MiB`, or `none`. */

import { InvalidArgumentError } from 'commander';
import { parseBytes } from './output/units.ts';

/** Bytes a second; 0 for no limit. */
export function parseRate(text: string): number {
  const bytes = text === 'none' ? 0 : parseBytes(text);
  if (bytes === undefined)
    throw new InvalidArgumentError('A rate is written as 52428800, 50M, 50MiB or none.');
  return bytes;
}
