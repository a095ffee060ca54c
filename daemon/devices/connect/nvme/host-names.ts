/** How this host calls itself to NVMe targets: their access lists hang on it, so it must be the same every time.
 *  Promises: what the host is set up with is taken, unless it is the name of no host; else names that follow from the id of the
 *  machine, and stay as long as that does. nvme-cli makes up a host id each time where there is none. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readText } from '../../block-names.ts';
import { uuidOf } from './address.ts';

export interface HostNames {
  readonly nqn: string;
  readonly id: string;
}

const prefix = 'nqn.2014-08.org.nvmexpress:uuid:';

/** Firmware without a name of its own has zeros there. */
const isSound = (nqn: string): boolean =>
  /^nqn\.\d{4}-\d{2}\.[\x21-\x7e]{1,200}$/.test(nqn) &&
  (!nqn.startsWith(prefix) || uuidOf(nqn.slice(prefix.length)) !== undefined);

export async function hostNames(etc: string, given: string | null): Promise<HostNames> {
  const machine = ((await readText(join(etc, 'machine-id'))) ?? '').trim();
  const own =
    uuidOf(createHash('sha256').update(`basalt nvme host ${machine}`).digest('hex').slice(0, 32)) ?? '';
  const nqn = given ?? ((await readText(join(etc, 'nvme/hostnqn'))) ?? '').trim();
  const id = uuidOf(((await readText(join(etc, 'nvme/hostid'))) ?? '').trim());
  return { nqn: isSound(nqn) ? nqn : `${prefix}${own}`, id: id ?? own };
}
