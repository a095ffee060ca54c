/** What an attachment of a namespace has built, as its journal keeps it. Pure.
 *  Promises: nothing in it is a secret; what an earlier version wrote is read. */

import { z } from 'zod';
import type { Built } from '../connector.ts';
import type { Portal } from './address.ts';

/** A controller that this attachment has connected, or shares with another one of ours that has. */
const madeShape = z.object({
  host: z.string(),
  port: z.number(),
  /** Numbers of the other namespaces that it showed when it was new, which nobody can have used by it before. "any": it is being made,
   *  or nobody knows better; "none": it was there. */
  beside: z.union([z.array(z.number()), z.enum(['any', 'none'])]).default('none'),
});
export type Made = z.infer<typeof madeShape>;

const builtShape = z.object({
  nqn: z.string().nullable().default(null),
  /** As whom this host has connected. */
  hostNqn: z.string().nullable().default(null),
  /** The number under which the namespace was found. */
  nsid: z.number().nullable().default(null),
  /** What it called itself then. */
  names: z.array(z.string()).default([]),
  made: z.array(madeShape).default([]),
});
export type NvmeBuilt = z.infer<typeof builtShape>;

export const readNvmeBuilt = (built: Built): NvmeBuilt => builtShape.parse(built);

/** A copy: what was journaled stays as it was. */
export const saved = ({ made, ...rest }: NvmeBuilt): Built => ({
  ...rest,
  made: made.map((one) => ({ ...one })),
});

export const isMadeAt =
  ({ host, port }: Portal) =>
  (one: Made): boolean =>
    one.host === host && one.port === port;

/** The entry by which another attachment of this agent uses the controller, too. */
export function sharedEntry(
  others: readonly Built[],
  nqn: string,
  portal: Portal,
): { readonly made: Made; readonly nsid: number | null } | undefined {
  for (const other of others.map(readNvmeBuilt)) {
    const made = other.nqn === nqn ? other.made.find(isMadeAt(portal)) : undefined;
    if (made !== undefined) return { made, nsid: other.nsid };
  }
  return undefined;
}
