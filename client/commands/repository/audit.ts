/** `basaltctl repository audit`: holds a Cinder repository to what Cinder demands, and tells what Cinder would make of it. */

import type { Command } from 'commander';
import { auditTitles } from '../../output/titles.ts';
import { defaultRepository, type Session } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addRepositoryAudit(noun: Command): void {
  verb(noun, 'audit', {
    summary: 'Reads every object of a Cinder repository, and names all that is wrong with it',
    details:
      'Checks stray and missing files, MD5, lengths, gaps, hash lists and parents. Its lines are "damage", "note", "wrong restore": a ' +
      'Cinder of 2023.1 or newer leaves older data in these bytes of a new volume, and "short file": the backup ends in zeros, ' +
      'which such a Cinder leaves out at the end of a file. Only damage ends with status 65: the others Basalt restores right.',
    examples: ['basaltctl repository audit cinder', 'basaltctl repository audit cinder -f json'],
    exits: [64, 65, 66, 74, 75, 130],
  })
    .argument('[REPOSITORY]', 'name of the repository', defaultRepository)
    .action(
      inSession(async (session, _: object, name: string) => {
        const { job_id } = await session.call('repository.audit', { name });
        const show = (result: object) => showReport(session, result);
        const { result } = await session.wait(job_id, show);
        if (result !== null) await show(result);
      }),
    );
}

type Row = Readonly<Record<string, unknown>>;

async function showReport(session: Session, whole: object): Promise<void> {
  const report = whole as Row;
  const rowsOf = (key: string): Row[] => (Array.isArray(report[key]) ? (report[key] as Row[]) : []);
  const rows = [
    ...rowsOf('findings').map(({ severity, ...finding }) => ({ ...finding, what: severity })),
    ...rowsOf('wrongly_restored').flatMap(({ backup_id, ranges }) =>
      (Array.isArray(ranges) ? (ranges as Row[]) : []).map((range) => ({
        ...range,
        backup_id,
        what: 'wrong restore',
      })),
    ),
    ...rowsOf('short_files').map(({ backup_id, size_bytes, file_bytes }) => ({
      backup_id,
      what: 'short file',
      offset: file_bytes,
      length: Number(size_bytes) - Number(file_bytes),
    })),
  ];
  const initial = ['backup_id', 'what', 'offset', 'length', 'reason', 'name'];
  await session.list(rows, { titles: auditTitles, initial, whole });
  const { backups_checked, objects_checked, damages, wrongly_restored_count } = report;
  session.note(
    `${String(backups_checked)} backups and ${String(objects_checked)} objects checked: ${String(damages)} damages, ` +
      `${String(wrongly_restored_count)} backups that a newer Cinder restores wrongly`,
  );
}
