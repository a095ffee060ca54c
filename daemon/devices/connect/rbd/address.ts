/** Names of RBD images: `rbd://POOL/[NAMESPACE/]IMAGE[@SNAPSHOT]?conf=…&mons=…&id=…`, and Cinder's connection_info. Pure.
 *  Promises: names hold nothing that would make another image of them in a program's hands; the one secret, the key of a user, is
 *  taken out of what Cinder gives and never formatted. Source: cinder/volume/drivers/rbd.py, initialize_connection. */

import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import type { Connection } from '../connector.ts';
import {
  canonicalHost,
  canonicalPath,
  encodePath,
  formatEndpoint,
  isHost,
  isPort,
  readEndpoint,
  refuseDevice,
  splitUrl,
} from '../url-parts.ts';

const shape = z.object({
  pool: z.string(),
  namespace: z.string().nullable(),
  image: z.string(),
  snapshot: z.string().nullable(),
  /** The settings of the cluster; null where `mons` has what is needed, or for those of the system. */
  conf: z.string().nullable(),
  /** "host:port" of monitors; empty where `conf` says it. */
  mons: z.array(z.string()),
  /** "cinder" of "client.cinder". */
  user: z.string().nullable(),
  /** For where the keyring of the user lies. */
  cluster: z.string(),
  key: z.string().nullable(),
});
export type RbdImage = z.infer<typeof shape>;

export const rbdImage = (connection: Connection): RbdImage => shape.parse(connection);

/** Who asks where nobody is named. */
export const adminUser = 'admin';

const name = /^[^/@\p{Cc}]{1,255}$/u;
const userName = /^[A-Za-z0-9_.-]{1,128}$/;
const keyText = /^[A-Za-z0-9+/]{16,}={0,2}$/;
const monsMax = 32;

const keys = ['conf', 'mons', 'id', 'cluster'];

type ImageName = Pick<RbdImage, 'pool' | 'namespace' | 'image' | 'snapshot'>;
const form = 'POOL/[NAMESPACE/]IMAGE[@SNAPSHOT]';

/** `path`: what follows the pool. */
function readName(pool: string, path: string, refuse: (why: string) => Fault): ImageName {
  const [whole = '', snapshot = null, ...more] = path.split('@');
  const steps = whole.split('/');
  const [namespace, image] = steps.length === 1 ? [null, steps[0] ?? ''] : [steps[0] ?? '', steps[1] ?? ''];
  if (steps.length > 2 || more.length > 0) throw refuse(`it is not ${form}`);
  const parts = { pool, namespace, image, snapshot };
  for (const [what, part] of Object.entries(parts))
    if (part !== null && !name.test(part)) throw refuse(`it names no ${what}`);
  return parts;
}

export function parseRbdUrl(text: string): RbdImage {
  const { authority, path, query } = splitUrl(text, keys);
  const named = readName(authority, path, (why) => refuseDevice(text, why));
  const conf = query.get('conf') ?? null;
  if (conf?.startsWith('/') === false) throw refuseDevice(text, 'the path of its conf is not absolute');
  const user = query.get('id') ?? null;
  const cluster = query.get('cluster') ?? 'ceph';
  for (const word of [user ?? 'none', cluster])
    if (!userName.test(word)) throw refuseDevice(text, `"${word}" is not the name of a user or cluster`);
  const mons = (query.get('mons') ?? '').split(',').filter((mon) => mon !== '');
  if (mons.length > monsMax) throw refuseDevice(text, 'it has too many monitors');
  const read = mons.map((mon) => formatEndpoint(readEndpoint(text, mon)));
  return { ...named, conf, mons: read, user, cluster, key: null };
}

/** The settings that programs are told to read where there are no monitors to write some for. */
export const confOf = ({ conf, cluster }: RbdImage): string => conf ?? `/etc/ceph/${cluster}.conf`;

/** Equal for all spellings of one image, and for one only: who asks for it, and with which key, makes no difference. That the
 *  settings in a file and a list of monitors lead to one cluster is seen by nobody before both are asked. */
export function rbdKey(image: RbdImage): string {
  const mons = image.mons.map((mon) => {
    const { host, port } = readEndpoint(mon, mon);
    return formatEndpoint({ host: canonicalHost(host), port });
  });
  const { pool, namespace, snapshot } = image;
  const where = mons.length === 0 ? canonicalPath(confOf(image)) : [...new Set(mons)].sort();
  return JSON.stringify([where, pool, namespace, image.image, snapshot]);
}

export function formatRbdUrl({
  pool,
  namespace,
  image,
  snapshot,
  conf,
  mons,
  user,
  cluster,
}: RbdImage): string {
  const path = `${namespace === null ? '' : `${namespace}/`}${image}`;
  const at = snapshot === null ? '' : `@${encodeURIComponent(snapshot)}`;
  const query = [
    ...(conf === null ? [] : [`conf=${encodePath(conf)}`]),
    ...(mons.length === 0 ? [] : [`mons=${mons.join(',')}`]),
    ...(user === null ? [] : [`id=${user}`]),
    ...(cluster === 'ceph' ? [] : [`cluster=${cluster}`]),
  ];
  const end = query.length === 0 ? '' : `?${query.join('&')}`;
  return `rbd://${encodeURIComponent(pool)}/${encodePath(path)}${at}${end}`;
}

const info = z.object({
  name: z.string().max(1024),
  hosts: z.array(z.string().max(255)).min(1).max(monsMax),
  ports: z.array(z.union([z.string(), z.number()])).max(monsMax),
  cluster_name: z.string().nullish(),
  auth_username: z.string().nullish(),
  keyring: z.string().max(65_536).nullish(),
});

const refuseInfo = (why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use the connection_info: ${why}`);

/** The key of the user in a keyring, which may have those of others too; or a key by itself. */
function keyIn(keyring: string, user: string): string {
  const sections = keyring.split(/^\s*(?=\[)/m);
  const own = sections.find((section) => section.startsWith(`[client.${user}]`)) ?? keyring;
  const key = (/^\s*key\s*=\s*(\S+)\s*$/m.exec(own)?.[1] ?? own).trim();
  if (!keyText.test(key)) throw refuseInfo('its "keyring" holds no key');
  return key;
}

export function parseRbdInfo(data: unknown): RbdImage {
  const read = info.safeParse(data);
  if (!read.success) throw refuseInfo('it has no "name" of an image, "hosts" and "ports" of monitors');
  const { name: whole, hosts, ports, cluster_name, auth_username, keyring } = read.data;
  const [, pool = '', path = ''] = /^([^/]*)\/(.*)$/s.exec(whole) ?? [];
  const named = readName(pool, path, () => refuseInfo(`its "name" is not of the form ${form}`));
  if (hosts.length !== ports.length) throw refuseInfo('it has not as many "ports" as "hosts"');
  const mons = hosts.map((given, place) => {
    const host = given.replace(/^\[(.*)\]$/, '$1');
    const port = Number(ports[place]);
    if (!isHost(host) || !isPort(port)) throw refuseInfo('one of its monitors is no host and port');
    return formatEndpoint({ host, port });
  });
  const [user, cluster] = [auth_username ?? null, cluster_name ?? 'ceph'];
  for (const word of [user ?? 'none', cluster])
    if (!userName.test(word)) throw refuseInfo('a user or cluster has a name that is none');
  const key =
    keyring === null || keyring === undefined || keyring === '' ? null : keyIn(keyring, user ?? adminUser);
  return { ...named, conf: null, mons, user, cluster, key };
}
