/** Who may do what: root and the admin group administer, others act for the projects that the settings grant them. Pure.
 *  Promises: rights follow from the kernel's word about the peer alone, never from what a client says of itself.
 *  What it does not know: sockets, and what a method does. */

import { Fault } from '../base/faults.ts';
import type { Grant } from '../config/grants.ts';
import { type MethodName, methods } from '../protocol/methods.ts';

export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Rights {
  readonly admin: boolean;
  /** Those that the settings grant; an administrator may act for any other, too. */
  readonly projects: readonly string[];
  mayActFor(project: string): boolean;
}

/** `groups`: every group id of the user. `adminGid`: undefined where the admin group does not exist. */
export function rightsOf(
  credentials: Credentials,
  groups: readonly number[],
  adminGid: number | undefined,
  grants: readonly Grant[],
): Rights {
  const gids = new Set([credentials.gid, ...groups]);
  const admin = credentials.uid === 0 || (adminGid !== undefined && gids.has(adminGid));
  const projects = new Set(
    grants
      .filter((grant) => (grant.kind === 'uid' ? grant.id === credentials.uid : gids.has(grant.id)))
      .flatMap((grant) => grant.projects),
  );
  return { admin, projects: [...projects], mayActFor: (project) => admin || projects.has(project) };
}

/** NOT_PERMITTED unless the row of the method lets `rights` call it with these checked params. */
export function requirePermission(method: MethodName, params: unknown, rights: Rights): void {
  const { needs } = methods[method];
  if (needs === 'anybody' || rights.admin) return;
  if (needs === 'admin') {
    throw new Fault('NOT_PERMITTED', `Cannot call "${method}": it needs an administrator`);
  }
  const project =
    typeof params === 'object' && params !== null && 'project' in params ? params.project : undefined;
  if (typeof project === 'string' && rights.mayActFor(project)) return;
  throw new Fault('NOT_PERMITTED', `Cannot act for project "${String(project)}": no grant names you for it`, {
    hint: 'Ask an administrator for a line in the setting project_grants',
  });
}

/** NOT_PERMITTED unless the caller administers; `what` follows "Cannot". */
export function requireAdmin(rights: Rights, what: string): void {
  if (!rights.admin) throw new Fault('NOT_PERMITTED', `Cannot ${what}: it needs an administrator`);
}
