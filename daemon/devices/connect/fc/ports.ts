/** Fibre Channel ports as sysfs shows them: ours, and those of storages that they see.
 *  Promises: only reads. A port of a storage is found by its name, among remote ports first: they are there before it has shown any unit;
 *  by-path links are not looked at. Source: scsi_transport_fc. */

import { join } from 'node:path';
import { namesIn, readText } from '../../block-names.ts';
import type { SystemFolders } from '../connector.ts';

export interface HostPort {
  readonly host: number;
  readonly wwpn: string;
  /** Of the adapter. */
  readonly wwnn: string;
  readonly online: boolean;
}

export interface TargetPort {
  readonly host: number;
  readonly channel: number;
  readonly target: number;
}

const wwpnIn = async (path: string): Promise<string> =>
  ((await readText(path)) ?? '').trim().toLowerCase().replace(/^0x/, '');

export async function hostPorts({ sys }: SystemFolders): Promise<HostPort[]> {
  const folder = join(sys, 'class/fc_host');
  const names = (await namesIn(folder)).filter((name) => /^host\d+$/.test(name));
  const all = await Promise.all(
    names.map(async (name) => ({
      host: Number(name.slice('host'.length)),
      wwpn: await wwpnIn(join(folder, name, 'port_name')),
      wwnn: await wwpnIn(join(folder, name, 'node_name')),
      online: (await readText(join(folder, name, 'port_state'))) === 'Online',
    })),
  );
  return all.sort((one, other) => one.host - other.host);
}

/** Of a port whose units are scanned and read. "Marginal" is what an administrator, or the fabric, calls one that is slow. */
const works: ReadonlySet<string> = new Set(['Online', 'Marginal']);

/** A remote port without a target number is known to the fabric, and no target (any more). */
async function remotePort(
  sys: string,
  host: number,
  wwpn: string,
  alsoLost: boolean,
): Promise<TargetPort | undefined> {
  const folder = join(sys, 'class/fc_remote_ports');
  for (const name of await namesIn(folder)) {
    const [, own, channel] = /^rport-(\d+):(\d+)-\d+$/.exec(name) ?? [];
    if (Number(own) !== host || (await wwpnIn(join(folder, name, 'port_name'))) !== wwpn) continue;
    const target = Number((await readText(join(folder, name, 'scsi_target_id'))) ?? -1);
    const online = works.has((await readText(join(folder, name, 'port_state'))) ?? 'Online');
    if (target >= 0 && (online || alsoLost)) return { host, channel: Number(channel), target };
  }
  return undefined;
}

async function transportTarget(sys: string, host: number, wwpn: string): Promise<TargetPort | undefined> {
  const folder = join(sys, 'class/fc_transport');
  for (const name of await namesIn(folder)) {
    const [, own, channel, target] = /^target(\d+):(\d+):(\d+)$/.exec(name) ?? [];
    if (Number(own) !== host || (await wwpnIn(join(folder, name, 'port_name'))) !== wwpn) continue;
    return { host, channel: Number(channel), target: Number(target) };
  }
  return undefined;
}

/** Where one of our ports sees a port of a storage. `alsoLost`: or saw it, as long as the kernel keeps the disks behind it. */
export async function targetPort(
  { sys }: SystemFolders,
  host: number,
  wwpn: string,
  alsoLost = false,
): Promise<TargetPort | undefined> {
  const remote = join(sys, 'class/fc_remote_ports');
  const found = await remotePort(sys, host, wwpn, alsoLost);
  // Without remote ports at all the driver tells of its targets only.
  if (found !== undefined || (await namesIn(remote)).length > 0) return found;
  return transportTarget(sys, host, wwpn);
}
