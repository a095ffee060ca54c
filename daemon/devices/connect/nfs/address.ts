/** A file in a share: `nfs://HOST/EXPORT/FILE`, `glusterfs://HOST/VOLUME/FILE`, and Cinder's connection_info of the same. Pure.
 *  Promises: neither the export nor the name of the file has a step upwards, and the name is relative; spellings of one file have one key;
 *  the format is what the operator or Cinder says, never what the file says of itself. Source: cinder/volume/drivers/nfs.py,
 *  initialize_connection. */

import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import type { Connection } from '../connector.ts';
import {
  canonicalHost,
  encodePath,
  formatEndpoint,
  isHost,
  readEndpoint,
  refuseDevice,
  splitUrl,
} from '../url-parts.ts';
import { portOption, readMountOptions, type ShareType, unusualPort } from './options.ts';

const shape = z.object({
  type: z.enum(['nfs', 'glusterfs']),
  host: z.string(),
  /** "/srv/volumes" for NFS, "/volume" for GlusterFS. */
  export: z.string(),
  /** Relative to it. */
  name: z.string(),
  options: z.array(z.string()),
  format: z.enum(['raw', 'qcow2']),
});
export type ShareFile = z.infer<typeof shape>;

export const shareFile = (connection: Connection): ShareFile => shape.parse(connection);

const plain = (text: string): boolean => !/\p{Cc}/u.test(text);

/** Why `name` can't be the name of a file in a share. */
export function whyNoName(name: string): string | undefined {
  if (name === '' || !plain(name) || name.length > 1024) return 'it names no file';
  if (name.startsWith('/')) return `the name "${name}" does not lie in the share`;
  const steps = name.split('/');
  if (steps.includes('..') || steps.includes('.') || steps.includes(''))
    return `the name "${name}" has steps that are no names`;
  return undefined;
}

/** mount.glusterfs is a shell script that splits what it is given at blanks, into words of a command line that root runs. */
const safePath = /^[A-Za-z0-9_.,+@%/-]*$/;

/** With one slash where there are several, and none at the end; or why it can't be mounted. */
function readExport(path: string, type: ShareType): { readonly path: string } | string {
  const steps = path.split('/').filter((step) => step !== '');
  if (steps.includes('..') || steps.includes('.')) return `"${path}" has steps that are no names`;
  if (!plain(path) || (type === 'glusterfs' && !safePath.test(path)))
    return `"${path}" has characters that a share of ${type} can not have here`;
  return { path: `/${steps.join('/')}` };
}

function formatOf(text: string, format: string): 'raw' | 'qcow2' {
  if (format === 'raw' || format === 'qcow2') return format;
  throw refuseDevice(text, `its format "${format}" is none of "raw", "qcow2"`);
}

/** Without `?export=` the folder of the file is what is mounted; of GlusterFS always the volume. */
export function parseShareUrl(text: string): ShareFile {
  const { scheme, authority, path, query } = splitUrl(text, ['export', 'options', 'format']);
  const type: ShareType = scheme === 'glusterfs' ? 'glusterfs' : 'nfs';
  const { host, port } = readEndpoint(text, authority);
  const whole = `/${path.replace(/^\/+/, '').replaceAll(/\/{2,}/g, '/')}`;
  const first = `/${whole.split('/')[1] ?? ''}`;
  const folder = whole.slice(0, whole.lastIndexOf('/')) || '/';
  const share = readExport(query.get('export') ?? (type === 'glusterfs' ? first : folder), type);
  if (typeof share === 'string') throw refuseDevice(text, share);
  const below = share.path === '/' ? '/' : `${share.path}/`;
  if (!whole.startsWith(below)) throw refuseDevice(text, `its file does not lie in "${share.path}"`);
  const name = whole.slice(below.length);
  const why = whyNoName(name);
  if (why !== undefined) throw refuseDevice(text, why);
  const options = readMountOptions(query.get('options') ?? '', type);
  return {
    type,
    host,
    export: share.path,
    name,
    options: port === null ? options : [...options, portOption(type, port)],
    format: formatOf(text, query.get('format') ?? 'raw'),
  };
}

/** As `parseShareUrl` reads it. */
export function formatShareUrl({ type, host, export: exported, name, options, format }: ShareFile): string {
  const below = exported === '/' ? '/' : `${exported}/`;
  const implied = type === 'glusterfs' ? exported.lastIndexOf('/') === 0 : !name.includes('/');
  const query = [
    ...(implied ? [] : [`export=${encodePath(exported)}`]),
    ...(options.length === 0 ? [] : [`options=${encodePath(options.join(','))}`]),
    ...(format === 'raw' ? [] : [`format=${format}`]),
  ];
  const end = query.length === 0 ? '' : `?${query.join('&')}`;
  return `${type}://${formatEndpoint({ host, port: null })}${encodePath(below + name)}${end}`;
}

const info = z.object({
  export: z.string().max(4096),
  name: z.string().max(1024),
  options: z.string().max(4096).nullish(),
  format: z.string().nullish(),
});

const refuseInfo = (why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use the connection_info: ${why}`);

export function parseShareInfo(data: unknown, type: ShareType): ShareFile {
  const read = info.safeParse(data);
  if (!read.success) throw refuseInfo('it has no "export" and "name" of a file in a share');
  const { export: location, name, options, format } = read.data;
  const [, bracketed, host = bracketed, path = ''] =
    /^(?:\[([^\]]+)\]|([^:/[\]]+)):(.+)$/s.exec(location) ?? [];
  if (host === undefined || !isHost(host))
    throw refuseInfo(`its export "${location}" is not of the form "HOST:/PATH"`);
  // Volumes of GlusterFS are named with and without the slash.
  const share = readExport(path, type);
  if (typeof share === 'string') throw refuseInfo(`its export ${share}`);
  const why = whyNoName(name);
  if (why !== undefined) throw refuseInfo(why);
  if (format !== undefined && format !== null && format !== 'raw' && format !== 'qcow2')
    throw refuseInfo(`its format "${format.slice(0, 64)}" is none of "raw", "qcow2"`);
  return {
    type,
    host,
    export: share.path,
    name,
    options: readMountOptions(options ?? '', type),
    format: format ?? 'raw',
  };
}

const serverOf = ({ type, host, options }: ShareFile): string =>
  formatEndpoint({ host: canonicalHost(host), port: unusualPort(type, options) });

/** Of the server: what its numbers of files count in. */
export const shareName = (file: ShareFile): string => `${file.type}.${serverOf(file)}:${file.export}`;

/** How a share is mounted makes no other file of it, and neither does which of the folders above it is. */
export function shareKey(file: ShareFile): string {
  const { type, export: exported, name, format } = file;
  return `${type}://${serverOf(file)}${exported === '/' ? '' : exported}/${name} ${format}`;
}

/** As mount(8) takes it, and as the kernel lists it. */
export const mountSource = ({ host, export: exported }: ShareFile): string =>
  `${formatEndpoint({ host, port: null })}:${exported}`;
