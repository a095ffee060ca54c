/** Audits a Cinder repository: the job fails with FOUND_DAMAGE where anything is damaged. Backups that only a newer Cinder restores
 *  wrongly are named in the result and are no damage: Basalt restores them right. */

import { Fault } from '../base/faults.ts';
import type { JobRecord } from '../catalog/records.ts';
import type { AuditReport } from '../repository/repository.ts';
import type { Services } from './services.ts';

export async function auditRepository(services: Services, name: string): Promise<JobRecord> {
  const repository = await services.repositories.get(name);
  if (repository.audit === undefined) {
    throw new Fault('INVALID_ARGUMENT', `Cannot audit repository "${name}": it is none of Cinder's`, {
      hint: 'Run: basaltctl repository check --read-data, which is the same for our own format',
    });
  }
  return services.jobs.submit({
    project_id: 'default',
    backup_id: null,
    volume_id: null,
    kind: 'audit',
    run: async ({ progress, signal }) => {
      const report = await repository.audit?.(progress, signal).catch((thrown: unknown) => {
        throw signal.aborted && signal.reason instanceof Fault ? signal.reason : thrown;
      });
      if (report === undefined) throw new Fault('INVALID_ARGUMENT', `Cannot audit repository "${name}"`);
      const result = presentAudit(report);
      if (report.damages === 0) return result;
      const message = `Audited repository "${repository.url}": ${report.damages} things are damaged or missing`;
      throw new Fault('FOUND_DAMAGE', message, { details: result });
    },
  });
}

const presentAudit = (report: AuditReport) => ({
  backups_checked: report.backupsChecked,
  objects_checked: report.objectsChecked,
  bytes_checked: report.bytesChecked,
  damages: report.damages,
  findings: report.findings.map(({ backupId, severity, name, reason, offset, length }) => ({
    backup_id: backupId,
    severity,
    name,
    reason,
    offset: offset ?? null,
    length: length ?? null,
  })),
  wrongly_restored_count: report.wrongRestoresCount,
  wrongly_restored: report.wrongRestores.map(({ backupId, bytes, rough, ranges }) => ({
    backup_id: backupId,
    bytes,
    rough,
    ranges,
  })),
  short_files: report.shortFiles.map(({ backupId, sizeBytes, fileBytes }) => ({
    backup_id: backupId,
    size_bytes: sizeBytes,
    file_bytes: fileBytes,
  })),
});
