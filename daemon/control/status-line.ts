/** One line about the daemon, as `systemctl status` shows it. Pure. */

import { MiB } from '../base/bytes.ts';
import type { Fault } from '../base/faults.ts';
import type { JobReport } from '../jobs/report.ts';

export function statusLine(reports: readonly JobReport[], repositoryFault: Fault | undefined): string {
  const running = reports.filter(({ record }) => record.status === 'running');
  const queued = reports.filter(({ record }) => record.status === 'queued').length;
  if (running.length === 0 && queued === 0)
    return repositoryFault === undefined ? 'Idle' : repositoryFault.message;
  const done = running.reduce((sum, report) => sum + report.bytesDone, 0);
  const total = running.reduce((sum, report) => sum + report.bytesTotal, 0);
  const rate = running.reduce((sum, report) => sum + report.bytesPerSecond, 0);
  const percent = total === 0 ? '' : `, ${Math.floor((done * 100) / total)} %`;
  return `${running.length} jobs running${percent}, ${Math.round(rate / MiB)} MiB/s, ${queued} queued`;
}
