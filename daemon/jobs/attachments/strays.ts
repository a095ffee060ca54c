/** What connectors recognise as left by attachments that nobody has a record of: of a state folder that is gone, for example.
 *  Promises: a look changes nothing; what is cleared away was found again just before, while nothing of its kind was in the making. */

import { createHash } from 'node:crypto';
import { Fault } from '../../base/faults.ts';
import type { AttachmentRecord } from '../../catalog/records.ts';
import type { ConnectContext, Connector, Leftover } from '../../devices/connect/connector.ts';
import type { Connectors } from '../../devices/connect/connectors.ts';

export interface Stray {
  /** The same at each look. */
  readonly id: string;
  readonly url: string;
  readonly kind: string;
  readonly what: string;
}

export interface StrayParts {
  readonly connectors: Connectors;
  readonly records: () => readonly AttachmentRecord[];
  readonly context: (id: string, limitMs: number) => ConnectContext;
}

interface Found extends Stray {
  readonly connector: Connector;
  readonly leftover: Leftover;
}

const idOf = (kind: string, { built }: Leftover): string =>
  `stray-${createHash('sha256')
    .update(`${kind} ${JSON.stringify(built)}`)
    .digest('hex')
    .slice(0, 16)}`;

/** A connector that can't look just now has nothing to tell. */
async function find({ connectors, records, context }: StrayParts, limitMs: number): Promise<Found[]> {
  const found: Found[] = [];
  for (const connector of connectors.all) {
    const { kind } = connector;
    const known = records().flatMap(({ connection, built }) =>
      connection.kind === kind && built !== null ? [built] : [],
    );
    const left = await connector.leftovers?.(known, context('strays', limitMs)).catch(() => []);
    for (const leftover of left ?? []) {
      const url = connector.format(leftover.connection);
      found.push({ id: idOf(kind, leftover), url, kind, what: leftover.what, connector, leftover });
    }
  }
  return found;
}

export const findStrays = (parts: StrayParts, limitMs: number): Promise<Stray[]> => find(parts, limitMs);

/** DEVICE_UNKNOWN where it is gone by now; DEVICE_LEFT. */
export async function clearStray(parts: StrayParts, id: string, limitMs: number): Promise<Stray> {
  const before = parts.records().map((record) => record.id);
  const stray = (await find(parts, limitMs)).find((one) => one.id === id);
  if (stray === undefined) throw new Fault('DEVICE_UNKNOWN', `Cannot find what "${id}" was: it is gone`);
  // What was begun after its records were read looks like one that has none.
  const isQuiet = parts
    .records()
    .every((record) => before.includes(record.id) && record.status !== 'attaching');
  if (!isQuiet) {
    throw new Fault('DEVICE_BUSY', `Cannot clear "${stray.url}" away: something is being attached`, {
      hint: 'Run the command again when nothing is in status attaching: basaltctl device list',
    });
  }
  const { connector, leftover } = stray;
  await connector.detach(leftover.connection, leftover.built, parts.context(id, limitMs));
  return stray;
}
