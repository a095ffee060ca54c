/** `basaltctl device attach`: attaches a device until it is detached. */

import type { Command } from 'commander';
import { readLocation } from '../../connection-info.ts';
import { toLocation } from '../../location.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

interface Options {
  readOnly?: boolean;
  wait?: boolean;
}

export function addDeviceAttach(noun: Command): void {
  verb(noun, 'attach', {
    summary: 'Attaches a volume of a storage to this host',
    details:
      'It stays until "device detach", also beyond a restart of the daemon; jobs share it meanwhile. Jobs attach what they need by themselves: this is for a look, for other programs, and to find out why it does not work. The kinds of URLs are in docs/devices.md; basaltctl status says which of them this host can attach.',
    examples: [
      'basaltctl device attach shop --wait',
      'basaltctl device attach iscsi://10.0.0.2/iqn.2026-01.example:disk/1 --wait -f value -c device',
      'basaltctl device attach @connection_info.json --wait',
    ],
    exits: [65, 66, 74, 75, 77, 78, 130],
  })
    .argument(
      '<LOCATION>',
      'registered volume, or URL, or @FILE with a connection_info of Cinder, @- for standard input',
    )
    .option('--read-only', 'nothing will be written to it')
    .option('--wait', 'wait until it is there, and say what is waited for')
    .action(
      inSession(async (session, { readOnly, wait }: Options, text: string) => {
        const given = await readLocation(toLocation(text));
        const isVolume = given.url !== undefined && !/[:/]/.test(given.url);
        const started = await session.call('device.attach', {
          ...defined({
            volume: isVolume ? given.url : undefined,
            location: isVolume ? undefined : given.url,
            connection_info: given.connection_info,
            access: readOnly === true ? ('read' as const) : undefined,
          }),
          ...session.inProject,
        });
        if (wait !== true) {
          await session.one(started);
          return;
        }
        const { result } = await session.wait(started.job_id);
        const device = result?.['attachment_id'];
        if (typeof device !== 'string') return;
        await session.one(await session.call('device.show', { device, ...session.inProject }));
      }),
    );
}
