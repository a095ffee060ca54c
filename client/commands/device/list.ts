/** `basaltctl device list`: what is attached. */

import type { Command } from 'commander';
import { deviceTitles } from '../../output/titles.ts';
import { defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

export function addDeviceList(noun: Command): void {
  verb(noun, 'list', {
    summary: 'Lists the devices that are attached, and over which paths',
    details:
      'Volumes of storages are attached for as long as a job or the operator uses them. Status "error": detaching failed and something is left; "stale": a daemon that has ended left it. Paths that are lost and faults have columns where there are any; -f json has the state of each path.',
    examples: ['basaltctl device list', 'basaltctl device list --stale -f json'],
    exits: [],
  })
    .option('--stale', 'only what something is left of, and nobody uses')
    .action(
      inSession(async (session, { stale }: { stale?: boolean }) => {
        const { devices } = await session.call('device.list', defined({ stale }));
        const isWaiting = devices.some(({ waiting_for }) => waiting_for !== null);
        const waiting = isWaiting ? ['waiting_for'] : [];
        const lost = devices.some(({ paths_lost }) => paths_lost > 0) ? ['paths_expected', 'paths_lost'] : [];
        const fault = devices.some((device) => device.fault !== null) ? ['fault'] : [];
        const usual = ['device', 'size_bytes', 'names', 'users'];
        const initial = ['id', 'url', 'status', ...waiting, ...usual, ...lost, ...fault];
        await session.list(devices, { titles: deviceTitles, initial });
        if (devices.length === 0) session.note(stale ? 'Nothing is left over.' : 'Nothing is attached.');
      }),
    );
}
