/** Who may act for which projects, besides administrators: `uid:1000=alpha,beta` or `gid:1000=alpha`. Pure.
 *  What it does not know: who is asking; `control/permissions.ts` puts the two together. */

export interface Grant {
  readonly kind: 'uid' | 'gid';
  readonly id: number;
  readonly projects: readonly string[];
}

const idMax = 2 ** 32 - 2;

/** The grant that `text` spells, or undefined where it spells none. */
export function parseGrant(text: string): Grant | undefined {
  const match = /^(uid|gid):(\d{1,10})=(.+)$/.exec(text);
  if (match === null) return undefined;
  const [, kind, digits, list] = match;
  const id = Number(digits);
  const projects = (list ?? '').split(',').map((project) => project.trim());
  if (id > idMax || projects.some((project) => project === '' || project.length > 64)) return undefined;
  return { kind: kind === 'uid' ? 'uid' : 'gid', id, projects };
}

export const showGrant = (grant: Grant): string => `${grant.kind}:${grant.id}=${grant.projects.join(',')}`;
