/** How this host calls itself to NVMe targets: their access lists hang on it, so it must be the same every time.
 *  Promises: what the host is set up with is taken, unless it is the name of no host; else names that follow from the id of the
 *  machine, and stay as long as that does. nvme-cli makes up a host id each time where there is none. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readText } from '../../block-names.ts';
import { isNqn, uuidOf } from './address.ts';

export interface HostNames {
  readonly nqn: string;
  readonly id: string;
}

const prefix = 'nqn.2014-08.org.nvmexpress:uuid:';

const hashed = (text: string): string =>
  uuidOf(createHash('sha256').update(text).digest('hex').slice(0, 32)) ?? '';

/** Firmware without a name of its own has zeros there. */
const isSound = (nqn: string): boolean =>
  isNqn(nqn) && (!nqn.startsWith(prefix) || uuidOf(nqn.slice(prefix.length)) !== undefined);

/** Kernels refuse one id under two names, and one name with two ids: it follows from the name. */
const idOf = (nqn: string): string =>
  (nqn.startsWith(prefix) ? uuidOf(nqn.slice(prefix.length)) : undefined) ?? hashed(`basalt nvme id ${nqn}`);

export async function hostNames(etc: string, given: string | null): Promise<HostNames> {
  const configured = ((await readText(join(etc, 'nvme/hostnqn'))) ?? '').trim();
  const machine = ((await readText(join(etc, 'machine-id'))) ?? '').trim();
  const own = isSound(configured) ? configured : `${prefix}${hashed(`basalt nvme host ${machine}`)}`;
  const nqn = given !== null && isSound(given) ? given : own;
  // What the file says belongs to the name that the host has by itself.
  const id = nqn === own ? uuidOf(((await readText(join(etc, 'nvme/hostid'))) ?? '').trim()) : undefined;
  return { nqn, id: id ?? idOf(nqn) };
}
