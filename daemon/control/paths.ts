/** What a caller who is no administrator may name on this host. The daemon works as root: whoever could name any path to it
 *  would be root too. Promises: volumes are registered by administrators; others write only to volumes of their project and to
 *  files that the daemon names, and mount only at folders of their own. */

import { stat } from 'node:fs/promises';
import { Fault } from '../base/faults.ts';
import type { Services } from '../jobs/services.ts';
import type { Caller } from './dispatch.ts';

/** NOT_PERMITTED where `target` is not a volume of the project. */
export function refuseForeignPath(
  { catalog }: Services,
  caller: Caller,
  target: string,
  project: string,
): void {
  if (caller.admin) return;
  for (const { id, name, project_id } of catalog.all('volumes')) {
    if (project_id === project && (id === target || name === target)) return;
  }
  throw new Fault('NOT_PERMITTED', `Cannot restore to "${target}": only an administrator may name a path`, {
    hint: 'Name a volume of your project, or no target: then the daemon makes a new file volume',
  });
}

/** NOT_PERMITTED where the folder is not the caller's own. */
export async function refuseForeignFolder(caller: Caller, directory: string): Promise<void> {
  if (caller.admin) return;
  const owner = await stat(directory).then(
    ({ uid }) => uid,
    () => undefined,
  );
  if (owner === caller.uid) return;
  throw new Fault('NOT_PERMITTED', `Cannot mount at "${directory}": the folder is not yours`);
}
