/** What each local user may see of the view: the backups of the projects that he may act for, by the same rules as on the
 *  socket. Promises: which groups a user is in is asked again after a few seconds; what is remembered is bounded.
 *  What it does not know: the view. */

import type { Native } from '../../native/native.ts';
import type { Clock } from '../base/clock.ts';
import { viewRightsMax, viewRightsMs } from '../base/limits.ts';
import type { Grant } from '../config/grants.ts';
import { rightsOf } from './permissions.ts';

export interface Sight {
  /** The same for all who see the same. */
  readonly key: string;
  readonly sees: (projectId: string) => boolean;
}

export interface SightParts {
  readonly native: Pick<Native, 'groupsOf'>;
  readonly clock: Clock;
  /** Undefined where the group of administrators does not exist. */
  readonly adminGid: number | undefined;
  readonly grants: readonly Grant[];
}

export type Sights = (caller: { readonly uid: number; readonly gid: number }) => Sight;

const everything: Sight = { key: 'all', sees: () => true };

export function createSights({ native, clock, adminGid, grants }: SightParts): Sights {
  /** In the order of asking. */
  const known = new Map<string, { readonly sight: Sight; readonly askedAtMs: number }>();
  const ask = (uid: number, gid: number): Sight => {
    const rights = rightsOf({ pid: 0, uid, gid }, native.groupsOf(uid), adminGid, grants);
    if (rights.admin) return everything;
    const projects = [...rights.projects].sort();
    return { key: `of ${JSON.stringify(projects)}`, sees: (project) => rights.mayActFor(project) };
  };
  return ({ uid, gid }) => {
    if (uid === 0) return everything;
    const key = `${uid}:${gid}`;
    const nowMs = clock.now();
    const found = known.get(key);
    if (found !== undefined && nowMs - found.askedAtMs < viewRightsMs && nowMs >= found.askedAtMs)
      return found.sight;
    known.delete(key);
    const sight = ask(uid, gid);
    known.set(key, { sight, askedAtMs: nowMs });
    for (const [oldest] of known) {
      if (known.size <= viewRightsMax) break;
      known.delete(oldest);
    }
    return sight;
  };
}
