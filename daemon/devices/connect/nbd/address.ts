/** Names of NBD exports: `nbd://HOST[:PORT]/EXPORT` and `nbd+unix:///EXPORT?socket=PATH`. Pure.
 *  Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md */

import { z } from 'zod';
import { type BlockNode, givenDescriptor } from '../bridge/programs.ts';
import type { Connection } from '../connector.ts';
import {
  canonicalHost,
  canonicalPath,
  encodePath,
  formatEndpoint,
  readEndpoint,
  refuseDevice,
  splitUrl,
} from '../url-parts.ts';

const exportName = z.string().max(4096);
const shape = z.discriminatedUnion('over', [
  z.object({ over: z.literal('tcp'), host: z.string(), port: z.number(), export: exportName }),
  z.object({ over: z.literal('unix'), socket: z.string(), export: exportName }),
]);
export type NbdAddress = z.infer<typeof shape>;

export const nbdPort = 10_809;

export const nbdAddress = (connection: Connection): NbdAddress => shape.parse(connection);

export function parseNbdUrl(text: string): NbdAddress {
  const { scheme, authority, path, query } = splitUrl(text, ['socket']);
  if (path.length > 4096) throw refuseDevice(text, 'the name of its export is too long');
  const socket = query.get('socket');
  if (scheme === 'nbd+unix') {
    if (authority !== '') throw refuseDevice(text, 'a socket of this host is named without a host');
    if (socket?.startsWith('/') !== true) throw refuseDevice(text, 'it needs ?socket= and an absolute path');
    return { over: 'unix', socket, export: path };
  }
  if (socket !== undefined) throw refuseDevice(text, 'a socket is named as nbd+unix:///EXPORT?socket=PATH');
  const { host, port } = readEndpoint(text, authority);
  return { over: 'tcp', host, port: port ?? nbdPort, export: path };
}

/** As programs of libnbd read it, too. */
export function formatNbdUrl(address: NbdAddress): string {
  const name = encodePath(address.export);
  if (address.over === 'unix') return `nbd+unix:///${name}?socket=${encodePath(address.socket)}`;
  const { host, port } = address;
  return `nbd://${formatEndpoint({ host, port: port === nbdPort ? null : port })}/${name}`;
}

/** Equal for all spellings of one export. */
export const nbdKey = (address: NbdAddress): string =>
  formatNbdUrl(
    address.over === 'unix'
      ? { ...address, socket: canonicalPath(address.socket) }
      : { ...address, host: canonicalHost(address.host) },
  );

/** As QEMU's driver "nbd" wants it, over a connection that it is given. */
export const nbdNode = (address: NbdAddress): BlockNode => ({
  driver: 'nbd',
  server: { type: 'fd', str: String(givenDescriptor) },
  export: address.export,
});
