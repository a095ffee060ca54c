/** What this host says of itself to a storage that is to export a volume to it: Cinder calls it the connector.
 *  Promises: it calls itself by the very names that the connectors of this daemon use, so that what is exported to them can be attached;
 *  what the host does not have is left out; only reads. Source: os-brick, get_connector_properties. */

import { createSocket } from 'node:dgram';
import { hostname, machine, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { readText } from '../block-names.ts';
import type { AttachPolicy, SystemFolders } from './connector.ts';
import { hostPorts } from './fc/ports.ts';
import { uuidOf } from './nvme/address.ts';
import { hostNames } from './nvme/host-names.ts';

/** In the words of Cinder's drivers. */
export interface HostConnector {
  platform: string;
  os_type: string;
  host: string;
  ip: string;
  multipath: boolean;
  enforce_multipath: boolean;
  do_local_attach: boolean;
  initiator?: string;
  wwpns?: string[];
  wwnns?: string[];
  nqn: string;
  nvme_hostid: string;
  nvme_native_multipath: boolean;
  'system uuid'?: string;
}

export interface HostParts {
  readonly folders: SystemFolders;
  readonly policy: Pick<AttachPolicy, 'multipath' | 'enforceMultipath'>;
  readonly name: string;
  /** As `uname -m` has it. */
  readonly machine: string;
  /** Addresses of the interfaces, but for the loopback. */
  readonly addresses: readonly string[];
}

export const thisHost = (): Pick<HostParts, 'name' | 'machine' | 'addresses'> => ({
  name: hostname(),
  machine: machine(),
  addresses: Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4')
    .map(({ address }) => address),
});

/** The word "InitiatorName=" stands at the begin of a line; what follows a "#" is a comment. */
export function initiatorIn(text: string): string | undefined {
  return /^[ \t]*InitiatorName[ \t]*=[ \t]*([^\s#]+)/m.exec(text)?.[1];
}

/** The address by which this host reaches others, as its routes say; nothing is sent. */
async function ownAddress(addresses: readonly string[]): Promise<string> {
  const socket = createSocket('udp4');
  try {
    return await new Promise<string>((resolve, reject) => {
      socket.once('error', reject);
      // An address of documentation: it stands for any host beyond the networks of this one.
      socket.connect(9, '192.0.2.254', () => resolve(socket.address().address));
    });
  } catch {
    return addresses[0] ?? '127.0.0.1';
  } finally {
    socket.close();
  }
}

async function fibreChannel(folders: SystemFolders): Promise<Pick<HostConnector, 'wwpns' | 'wwnns'>> {
  const online = (await hostPorts(folders)).filter((port) => port.online && port.wwpn !== '');
  if (online.length === 0) return {};
  return { wwpns: online.map(({ wwpn }) => wwpn), wwnns: online.map(({ wwnn }) => wwnn) };
}

/** What the operator wants to be said in place of what is found. */
export interface HostWish {
  readonly host?: string | undefined;
  readonly ip?: string | undefined;
}

export async function describeHost(parts: HostParts, given: HostWish): Promise<HostConnector> {
  const { folders, policy, name, addresses } = parts;
  const { etc, sys } = folders;
  const initiator = initiatorIn((await readText(join(etc, 'iscsi/initiatorname.iscsi'))) ?? '');
  const { nqn, id } = await hostNames(etc, null);
  const native = await readText(join(sys, 'module/nvme_core/parameters/multipath'));
  const system = uuidOf(
    ((await readText(join(sys, 'class/dmi/id/product_uuid'))) ?? '').trim().toLowerCase(),
  );
  return {
    platform: parts.machine,
    os_type: 'linux',
    host: given.host ?? name,
    ip: given.ip ?? (await ownAddress(addresses)),
    multipath: policy.multipath,
    enforce_multipath: policy.multipath && policy.enforceMultipath,
    do_local_attach: false,
    ...(initiator === undefined ? {} : { initiator }),
    ...(await fibreChannel(folders)),
    nqn,
    nvme_hostid: id,
    nvme_native_multipath: native?.trim() === 'Y',
    ...(system === undefined ? {} : { 'system uuid': system }),
  };
}
