/** What a record of one of Cinder's file drivers speaks of, found among the repositories of this daemon.
 *  Promises: a record never leads outside of a repository; what it says of a backup is held to what the repository has, whose word
 *  counts where the record says nothing. Changes nothing. */

import { Fault, toFault } from '../base/faults.ts';
import { recordOf } from '../catalog/rebuild.ts';
import type { BackupRecord } from '../catalog/records.ts';
import type { CinderRecord } from '../format/cinder-record.ts';
import type { BackupManifest } from '../format/manifest.ts';
import type { RecordService } from '../format/record-service.ts';
import { safeContainer } from '../repository/cinder/names.ts';
import { type Services, timestamp } from './services.ts';

/** Drivers that keep their objects as files, all in the same way. */
const fileDrivers: readonly string[] = ['posix', 'nfs', 'glusterfs'];
/** The volume of a record that was imported and never filled in. */
const noVolume = '00000000-0000-0000-0000-000000000000';

export async function cinderData(
  services: Services,
  service: RecordService,
  record: CinderRecord,
): Promise<BackupRecord> {
  const container = record.container === null ? undefined : safeContainer(record.container);
  if (record.container !== null && container === undefined) {
    const message = `Cannot import backup "${record.id}": its container "${record.container}" leads outside of every repository`;
    throw new Fault('RECORD_INVALID', message);
  }
  const { name, manifest } = await findData(services, service, record);
  const fits: Readonly<Record<string, boolean>> = {
    container: container === undefined || container === manifest.backup.container,
    service_metadata: record.service_metadata === null || record.service_metadata === manifest.cinder?.prefix,
    object_count: record.object_count === manifest.object_count,
    volume_id:
      record.volume_id === null || record.volume_id === noVolume || record.volume_id === manifest.volume.id,
    parent_id: record.parent_id === null || record.parent_id === manifest.backup.parent_id,
  };
  const wrong = Object.keys(fits).find((field) => fits[field] === false);
  if (wrong !== undefined) {
    const message = `Cannot import backup "${record.id}": its "${wrong}" is not that of the backup in repository "${name}"`;
    throw new Fault('RECORD_INVALID', message);
  }
  const found = recordOf(manifest, name, timestamp(services.clock));
  return {
    ...found,
    service: service.path,
    snapshot_id: record.snapshot_id,
    created_at: record.created_at ?? found.created_at,
    data_timestamp: record.data_timestamp ?? found.data_timestamp,
    encryption_key_id: record.encryption_key_id,
  };
}

async function findData(
  { repositories }: Services,
  service: RecordService,
  { id }: CinderRecord,
): Promise<{ name: string; manifest: BackupManifest }> {
  const known = repositories.list().filter(({ kind }) => kind === 'cinder');
  if (known.length === 0 || !fileDrivers.includes(service.driver)) {
    const message = `Cannot import a record of service "${service.path}": there is no repository of this kind`;
    throw new Fault('REPOSITORY_MISSING', message, {
      hint: 'Add the folder that has the objects: basaltctl repository add NAME cinder+file:///path',
    });
  }
  for (const { id: name, holder } of known) {
    try {
      return { name, manifest: await (await holder.get()).manifest(id) };
    } catch (thrown) {
      const { code, message } = toFault(thrown);
      const isElsewhere = code === 'MANIFEST_MISSING' && !message.includes('parent');
      if (!isElsewhere && code !== 'REPOSITORY_MISSING') throw thrown;
    }
  }
  const names = known.map(({ id: name }) => `"${name}"`).join(', ');
  throw new Fault('MANIFEST_MISSING', `Cannot import backup "${id}": its data is not in ${names}`, {
    hint: 'Add the repository that has it: basaltctl repository add NAME cinder+file:///path',
  });
}
