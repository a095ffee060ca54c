/** Finds every backup of a repository that others write, and takes up those that are complete, as if each had been imported.
 *  Promises: the repository is not changed; what is known already keeps what was said of it here; a backup that another repository
 *  of this daemon holds under the same id is left alone, and counted. */

import { Fault } from '../base/faults.ts';
import { keepingLocal, recordOf } from '../catalog/rebuild.ts';
import type { BackupRecord, JobRecord } from '../catalog/records.ts';
import type { ScannedBackup } from '../repository/repository.ts';
import type { JobContext } from './job-order.ts';
import { type Services, timestamp } from './services.ts';

/** Backups in the result: it must fit one message. `backup list` has all that are complete. */
const reportedMax = 500;
const missingTextMax = 400;

export async function scanRepository(services: Services, name: string, project: string): Promise<JobRecord> {
  const repository = await services.repositories.get(name);
  if (repository.scan === undefined) {
    throw new Fault('INVALID_ARGUMENT', `Cannot scan repository "${name}": it is a native one`, {
      hint: 'Run: basaltctl catalog rebuild',
    });
  }
  return services.jobs.submit({
    kind: 'scan',
    project_id: project,
    backup_id: null,
    volume_id: null,
    run: (context) => scan(services, name, context),
  });
}

async function scan(
  services: Services,
  name: string,
  { project, progress, signal }: JobContext,
): Promise<Record<string, unknown>> {
  const repository = await services.repositories.get(name);
  const counts = { complete: 0, incomplete: 0, registered: 0, known: 0, elsewhere: 0, stored_bytes: 0 };
  const listed: Line[] = [];
  try {
    for await (const found of repository.scan?.(progress, signal) ?? []) {
      counts.stored_bytes += found.storedBytes;
      counts[found.manifest === undefined ? 'incomplete' : 'complete'] += 1;
      if (found.manifest !== undefined) counts[await takeUp(services, name, project, found)] += 1;
      report(listed, found);
    }
  } catch (thrown) {
    throw signal.aborted && signal.reason instanceof Fault ? signal.reason : thrown;
  }
  return { repository: name, ...counts, backups: listed };
}

interface Line {
  readonly is_complete: boolean;
}

/** Incomplete ones are listed first where there is no room for all. */
function report(listed: Line[], found: ScannedBackup): void {
  const { manifest, missing } = found;
  const line = {
    backup_id: found.backupId,
    volume_id: found.volumeId,
    is_complete: manifest !== undefined,
    container: found.container,
    prefix: found.prefix,
    name: manifest?.backup.name ?? null,
    created_at: manifest?.backup.created_at ?? null,
    chain: manifest?.cinder?.chain.slice(0, 32) ?? [],
    parent_id: manifest?.backup.parent_id ?? null,
    size_bytes: manifest?.volume.size_bytes ?? null,
    objects: found.objects,
    stored_bytes: found.storedBytes,
    compression: manifest?.cinder?.compressions.join(', ') ?? null,
    missing: missing.join('; ').slice(0, missingTextMax),
  };
  if (listed.length < reportedMax) listed.push(line);
  else if (manifest === undefined) {
    const place = listed.findLastIndex((other) => other.is_complete);
    if (place >= 0) listed[place] = line;
  }
}

async function takeUp(
  services: Services,
  name: string,
  project: string,
  { manifest, storedBytes }: ScannedBackup,
): Promise<'registered' | 'known' | 'elsewhere'> {
  if (manifest === undefined) return 'known';
  const { catalog, clock } = services;
  const fresh: BackupRecord = {
    ...recordOf(manifest, name, timestamp(clock)),
    project_id: project,
    stored_bytes: storedBytes,
  };
  let taken: 'registered' | 'known' | 'elsewhere' = 'registered';
  await catalog.commit((changes) => {
    const known = catalog.get('backups', fresh.id);
    if (known !== undefined && known.status !== 'deleted') {
      taken = known.repository === name ? 'known' : 'elsewhere';
      // Something goes on with it: its record is that job's to write.
      if (taken === 'elsewhere' || known.status !== 'available') return;
    }
    changes.put('backups', keepingLocal(fresh, known));
  });
  return taken;
}
