/** What is remembered of a look at a device, and whether another look shows the same one. Pure. */

import type { AttachmentView, StoredIdentity } from '../../catalog/records.ts';
import type { Observation } from '../../devices/connect/connector.ts';
import { compareIdentity, type Verdict } from '../../devices/connect/identity.ts';
import { wrongDevice } from '../../devices/connect/trouble.ts';

export function viewOf({ device, number, map, identity, paths }: Observation): AttachmentView {
  return {
    device,
    number,
    map,
    names: [...identity.names],
    serial: identity.serial,
    size_bytes: identity.sizeBytes,
    block_bytes: identity.blockBytes,
    paths: paths.map(({ device: path, number: of, via, state }) => ({
      device: path,
      number: of,
      via,
      state,
    })),
  };
}

/** With the ways that could not be brought up before, and that nobody has looked for since. */
export function withMissing(found: Observation, { paths: before }: AttachmentView): Observation {
  const missing = before
    .filter(({ via, state }) => state === 'missing' && !found.paths.some((path) => path.via === via))
    .map(({ via }) => ({ device: null, number: null, via, state: 'missing', identity: null }) as const);
  return missing.length === 0 ? found : { ...found, paths: [...found.paths, ...missing] };
}

/** What it is known by from now on. */
export const identityIn = ({
  names,
  serial,
  size_bytes,
}: Pick<AttachmentView, 'names' | 'serial' | 'size_bytes'>): StoredIdentity =>
  names.length === 0 && serial === null ? { names: [], serial, size_bytes } : { names: [...names], serial };

/** The same, for where another size is looked for. */
export const grownOr = ({ names, serial }: AttachmentView): StoredIdentity => ({ names: [...names], serial });

/** WRONG_DEVICE unless the device, and every path to it that says something of itself, is the one that was learned before. */
export function requireSame(url: string, wanted: StoredIdentity, found: Observation): void {
  const asked = { ...wanted, sizeBytes: wanted.size_bytes };
  const require = (verdict: Verdict, where: string) => {
    if (!verdict.same) throw wrongDevice(url, `${where}${verdict.why}`, verdict.hint);
  };
  require(compareIdentity(asked, found.identity), '');
  for (const { via, identity } of found.paths)
    if (identity !== null) require(compareIdentity(asked, identity), `on the path ${via} `);
}

/** Numbers by which the device may be open: its own, and those of its paths. */
export const numbersIn = ({ number, paths }: AttachmentView): readonly string[] =>
  [number, ...paths.map((path) => path.number)].filter((one) => one !== null);
