/** `basaltctl device show`: one attached device and its paths. */

import type { Command } from 'commander';
import { inSession, verb } from '../../verb.ts';

export function addDeviceShow(noun: Command): void {
  verb(noun, 'show', {
    summary: 'Shows one attached device, with a fresh look at its paths',
    examples: ['basaltctl device show shop', 'basaltctl device show shop -f json -c paths'],
    exits: [66],
  })
    .argument('<DEVICE>', 'id of the attachment, or the volume')
    .action(
      inSession(async (session, _: object, device: string) => {
        await session.one(await session.call('device.show', { device, ...session.inProject }));
      }),
    );
}
