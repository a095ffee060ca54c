/** `basaltctl device detach`: detaches a device, and waits until nothing is left. */

import type { Command } from 'commander';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addDeviceDetach(noun: Command): void {
  verb(noun, 'detach', {
    summary: 'Detaches a device, and sees to it that nothing of it is left',
    details:
      'A device that a job uses stays. What could not be detached before has status "error", and is tried again only with --force: look first why it failed.',
    examples: ['basaltctl device detach shop', 'basaltctl device detach 4c9e… --force'],
    exits: [66, 74, 75, 130],
  })
    .argument('<DEVICE>', 'id of the attachment, or the volume')
    .option('--force', 'also what an earlier attempt has failed on')
    .action(
      inSession(async (session, { force }: { force?: boolean }, device: string) => {
        const params = { device, ...defined({ force }), ...session.inProject };
        const { job_id } = await session.call('device.detach', params);
        const job = await session.wait(job_id);
        await session.one(job.result ?? job);
      }),
    );
}
