/** Compares what devices say of themselves. Pure.
 *  Promises: two devices are the same only if nothing that lasts speaks against it, and something that lasts speaks for it; where
 *  neither has a lasting name, the serial number has to, and where there is none either, the size. */

import type { DeviceIdentity } from './connector.ts';

export type Verdict =
  | { readonly same: true }
  | { readonly same: false; readonly why: string; readonly hint?: string };

interface Identity extends Pick<DeviceIdentity, 'names' | 'serial'> {
  readonly sizeBytes?: number | undefined;
}

const kindOf = (name: string): string => name.slice(0, name.indexOf('.'));
const list = (names: readonly string[]): string => (names.length === 0 ? 'no name' : names.join(', '));

/** `wanted` was learned before, `found` was read just now. A size that is not wanted is not compared: a volume may have grown. */
export function compareIdentity(wanted: Identity, found: Identity): Verdict {
  const shared = wanted.names.filter((name) => found.names.includes(name));
  const differing = wanted.names.filter(
    (name) => !found.names.includes(name) && found.names.some((other) => kindOf(other) === kindOf(name)),
  );
  if (differing.length > 0)
    return { same: false, why: `it calls itself ${list(found.names)}, not ${list(differing)}` };
  if (shared.length > 0) return { same: true };
  if (wanted.names.length > 0)
    return { same: false, why: `it calls itself ${list(found.names)}, not ${list(wanted.names)}` };
  if (wanted.serial !== null) {
    if (wanted.serial === found.serial) return { same: true };
    return { same: false, why: `its serial number is ${found.serial ?? 'unknown'}, not ${wanted.serial}` };
  }
  if (wanted.sizeBytes === undefined || wanted.sizeBytes === found.sizeBytes) return { same: true };
  return {
    same: false,
    why: `it has ${found.sizeBytes} bytes, not ${wanted.sizeBytes}, and it has neither a name nor a serial number`,
    hint: 'If it is the right one, and has grown: basaltctl volume set --accept-identity any',
  };
}
