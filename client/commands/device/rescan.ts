/** `basaltctl device rescan`: looks for paths and sizes that have changed. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addDeviceRescan(noun: Command): void {
  verb(noun, 'rescan', {
    summary: 'Looks for new, lost, returned and grown paths of an attached device',
    details: 'After a volume was grown on the storage: its new size counts when every path has it.',
    examples: ['basaltctl device rescan shop', 'basaltctl device rescan shop -f json'],
    exits: [65, 66, 74, 75, 130],
  })
    .argument('<DEVICE>', 'id of the attachment, or the volume')
    .action(
      inSession(async (session, _: object, device: string) => {
        const { job_id } = await session.call('device.rescan', { device, ...session.inProject });
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
