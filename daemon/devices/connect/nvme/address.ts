/** Names of NVMe namespaces over TCP: `nvme://IP[:PORT][,…]/NQN?uuid=…|nguid=…|nsid=…`, and Cinder's connection_info of both kinds.
 *  Pure. Promises: a namespace is named by what lasts, or by its number in one subsystem, never by "what is new".
 *  Source: os_brick/initiator/connectors/nvmeof.py; NVMe Base Specification 2.0, 4.5 (NQN). */

import { isIP } from 'node:net';
import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import type { Connection } from '../connector.ts';
import { encodePath, formatEndpoint, readEndpoint, refuseDevice, splitUrl } from '../url-parts.ts';

const shape = z.object({
  nqn: z.string(),
  portals: z.array(z.object({ host: z.string(), port: z.number() })),
  uuid: z.string().nullable(),
  nguid: z.string().nullable(),
  nsid: z.number().nullable(),
  hostNqn: z.string().nullable(),
});
export type NvmeNamespace = z.infer<typeof shape>;
export type Portal = NvmeNamespace['portals'][number];

export const nvmeNamespace = (connection: Connection): NvmeNamespace => shape.parse(connection);

const nvmePort = 4420;
const portalsMax = 16;
/** Not all names have the date and the domain of the specification: those of Cinder's own target are "nqn.iqn.2010-10.org.openstack:-ID".
 *  A comma would end the name where the kernel takes its options apart. */
export const isNqn = (text: string): boolean => text.length <= 223 && /^nqn\.[!-+\--~]+$/.test(text);

/** The kernel compares addresses as texts: the same one has to be written in one way. */
function addressText(host: string): string {
  if (isIP(host) !== 6) return host;
  const [address = '', zone] = host.split('%');
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1);
  return zone === undefined ? short : `${short}%${zone}`;
}

/** Thirty-two hexadecimal digits; all of them zero is what devices without such a name say. */
function hexOf(text: string): string | undefined {
  const hex = text.toLowerCase().replaceAll('-', '');
  return /^[0-9a-f]{32}$/.test(hex) && !/^0+$/.test(hex) ? hex : undefined;
}

export const uuidOf = (text: string): string | undefined =>
  hexOf(text)?.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

export const nguidOf = hexOf;

interface Loose {
  readonly nqn: string;
  readonly portals: readonly { readonly host: string; readonly port: number }[];
  readonly uuid?: string | null | undefined;
  readonly nguid?: string | null | undefined;
  readonly nsid?: string | number | null | undefined;
  readonly hostNqn?: string | null | undefined;
}

function checked(loose: Loose, refuse: (why: string) => Error): NvmeNamespace {
  const given = (text: string | null | undefined): string | null =>
    text === undefined || text === '' ? null : text;
  const [uuidText, nguidText, hostNqn] = [given(loose.uuid), given(loose.nguid), given(loose.hostNqn)];
  if (!isNqn(loose.nqn)) throw refuse('its subsystem has no NQN');
  if (hostNqn !== null && !isNqn(hostNqn)) throw refuse('the name of its host is no NQN');
  if (loose.portals.length === 0 || loose.portals.length > portalsMax)
    throw refuse('it has no portal, or too many');
  for (const { host } of loose.portals)
    if (isIP(host) === 0) throw refuse(`its portal "${host}" is no IP address`);
  const uuid = uuidText === null ? null : uuidOf(uuidText);
  const nguid = nguidText === null ? null : nguidOf(nguidText);
  const nsid =
    loose.nsid === undefined || loose.nsid === null || loose.nsid === '' ? null : Number(loose.nsid);
  if (uuid === undefined || nguid === undefined) throw refuse('its UUID or NGUID is none');
  if (nsid !== null && !(Number.isSafeInteger(nsid) && nsid > 0 && nsid < 2 ** 32 - 1))
    throw refuse('the number of its namespace is none');
  if (uuid === null && nguid === null && nsid === null) throw refuse('it needs a uuid, nguid or nsid');
  const portals = loose.portals.map((one) => ({ host: addressText(one.host), port: one.port }));
  const same = (one: Portal, other: Portal) => one.host === other.host && one.port === other.port;
  const once = portals.filter((one, at) => portals.findIndex((other) => same(one, other)) === at);
  return { nqn: loose.nqn, portals: once, uuid, nguid, nsid, hostNqn };
}

export function parseNvmeUrl(text: string): NvmeNamespace {
  const { authority, path, query } = splitUrl(text, ['uuid', 'nguid', 'nsid', 'hostnqn']);
  const portals = authority.split(',').map((one) => {
    const { host, port } = readEndpoint(text, one);
    return { host, port: port ?? nvmePort };
  });
  const [uuid, nguid] = [query.get('uuid'), query.get('nguid')];
  const [nsid, hostNqn] = [query.get('nsid'), query.get('hostnqn')];
  return checked({ nqn: path, portals, uuid, nguid, nsid, hostNqn }, (why) => refuseDevice(text, why));
}

export function formatNvmeUrl({ nqn, portals, uuid, nguid, nsid, hostNqn }: NvmeNamespace): string {
  const hosts = portals.map(({ host, port }) =>
    formatEndpoint({ host, port: port === nvmePort ? null : port }).replaceAll('%', '%25'),
  );
  const query = [
    ...(uuid === null ? [] : [`uuid=${uuid}`]),
    ...(nguid === null ? [] : [`nguid=${nguid}`]),
    ...(nsid === null ? [] : [`nsid=${nsid}`]),
    ...(hostNqn === null ? [] : [`hostnqn=${encodePath(hostNqn)}`]),
  ];
  return `nvme://${hosts.join(',')}/${encodePath(nqn)}?${query.join('&')}`;
}

const common = {
  vol_uuid: z.string().nullish(),
  volume_nguid: z.string().nullish(),
  ns_id: z.union([z.string(), z.number()]).nullish(),
  host_nqn: z.string().nullish(),
};
const port = z.union([z.string(), z.number()]);
const first = z.object({
  nqn: z.string(),
  target_portal: z.string(),
  target_port: port,
  transport_type: z.string(),
});
const second = z.object({
  target_nqn: z.string(),
  portals: z.array(z.tuple([z.string(), port, z.string()])),
});

const refuseInfo = (why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use the connection_info: ${why}`);

export function parseNvmeInfo(data: unknown): NvmeNamespace {
  const more = z.object(common).safeParse(data);
  const newer = second.safeParse(data).data;
  const older = first.safeParse(data).data;
  const portals =
    newer?.portals ??
    (older === undefined
      ? undefined
      : [[older.target_portal, older.target_port, older.transport_type] as const]);
  const nqn = newer?.target_nqn ?? older?.nqn;
  if (!more.success || portals === undefined || nqn === undefined)
    throw refuseInfo('it has neither "target_nqn" and "portals" nor "nqn" and "target_portal"');
  // Others (RDMA) are left out where there are portals over TCP besides.
  const usable = portals.filter(([, , transport]) => transport.toLowerCase() === 'tcp');
  if (usable.length === 0) throw refuseInfo('none of its portals is over TCP');
  const { vol_uuid: uuid, volume_nguid: nguid, ns_id: nsid, host_nqn: hostNqn } = more.data;
  const ends = usable.map(([host, number]) => ({
    host: host.replace(/^\[(.*)\]$/, '$1'),
    port: Number(number),
  }));
  if (ends.some(({ port: number }) => !(Number.isInteger(number) && number > 0 && number < 65_536)))
    throw refuseInfo('one of its portals has no port');
  return checked({ nqn, portals: ends, uuid, nguid, nsid, hostNqn }, refuseInfo);
}
