/** Verifies a backup: the job fails with FOUND_DAMAGE where anything is damaged, and its result lists every range. */

import { Fault } from '../base/faults.ts';
import type { JobRecord } from '../catalog/records.ts';
import { verify } from '../pipeline/verify.ts';
import { findBackupToRead, requireReadable } from './find.ts';
import { type Services, withMemory } from './services.ts';

export async function verifyBackup(
  services: Services,
  reference: string,
  project: string,
): Promise<JobRecord> {
  const backup = findBackupToRead(services.catalog, reference, project);
  requireReadable(backup, 'verify');
  return services.jobs.submit({
    kind: 'verify',
    project_id: project,
    backup_id: backup.id,
    volume_id: backup.volume_id,
    run: async (context) => {
      const repository = await services.repositories.of(backup);
      const manifest = await repository.manifest(backup.id);
      const image = repository.openImage(manifest, { fresh: true });
      const { progress, signal } = context;
      const report = await withMemory(services, context, 'verify', (grant) =>
        verify({
          image,
          grant,
          progress,
          signal,
          rates: [context.rate, services.rates.read],
          copies: () => services.operations.running,
        }),
      );
      const result = {
        backup_id: backup.id,
        verified_bytes: report.verifiedBytes,
        damaged_bytes: report.damagedBytes,
        damaged: report.damaged,
      };
      if (report.damagedBytes === 0) return result;
      const message = `Verified backup "${backup.id}": ${report.damagedBytes} of its bytes are damaged`;
      throw new Fault('FOUND_DAMAGE', message, { details: result });
    },
  });
}
