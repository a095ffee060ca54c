/** file.*: one function a method, and how a file inside a backup is shown. */

import {
  type FileDetails,
  findExtents,
  gatherFiles,
  listFiles,
  readFile,
  showFile,
} from '../../jobs/files.ts';
import type { FileMoreValue, FileSystemValue, FileValue } from '../../protocol/values.ts';
import type { HandlerParts, Some } from './parts.ts';

type Attributes = FileDetails['attributes'];

export const fileHandlers = ({
  services,
}: HandlerParts): Some<'file.list' | 'file.gather' | 'file.show' | 'file.extents' | 'file.read'> => ({
  'file.list': async ({ position, ...order }) => {
    const { fileSystem, files, next } = await listFiles(services, order, position);
    return {
      file_system: presentFileSystem(fileSystem),
      files: files.map(({ name, attributes }) => presentFile(name, attributes)),
      next_position: next,
    };
  },
  'file.gather': async ({ position, ...order }) => {
    const { files, next } = await gatherFiles(services, order, position);
    return {
      files: files.map(({ name, attributes, details, content }) => ({
        ...presentFile(name, attributes),
        details: details === null ? null : presentMore(details),
        content,
      })),
      next_position: next,
    };
  },
  'file.show': async ({ follow, ...order }) => {
    const details = await showFile(services, order, follow);
    const name = order.path.split('/').findLast((part) => part !== '') ?? '/';
    return {
      ...presentFile(Buffer.from(name), details.attributes),
      path: order.path,
      file_system: presentFileSystem(details.fileSystem),
      ...presentMore(details),
    };
  },
  'file.extents': async ({ offset, ...order }) => {
    const { extents, next, sizeBytes } = await findExtents(services, order, offset);
    return { extents: extents.map(([at, length]) => [at, length]), next_offset: next, size_bytes: sizeBytes };
  },
  'file.read': async ({ offset, length, ...order }) => {
    const { bytes, holeBytes, sizeBytes } = await readFile(services, order, offset, length);
    return { bytes, hole_bytes: holeBytes, size_bytes: sizeBytes };
  },
});

function presentMore({ target, extended }: Pick<FileDetails, 'target' | 'extended'>): FileMoreValue {
  const text = target?.toString('utf8') ?? null;
  return {
    target: text,
    target_hex: target === null || Buffer.from(text ?? '').equals(target) ? null : target.toString('hex'),
    attributes: extended.map(({ name, value }) => ({ name, value: value.toString('base64') })),
  };
}

const kinds: Readonly<Record<number, string>> = {
  0o010000: 'fifo',
  0o020000: 'character',
  0o040000: 'folder',
  0o060000: 'block',
  0o100000: 'file',
  0o120000: 'link',
  0o140000: 'socket',
};

function presentFile(name: Buffer, attributes: Attributes): FileValue {
  const { mode, node, links, uid, gid, sizeBytes, usedBytes, deviceMajor, deviceMinor } = attributes;
  const kind = kinds[mode & 0o170000] ?? 'unknown';
  const text = name.toString('utf8');
  return {
    name: text,
    name_hex: Buffer.from(text).equals(name) ? null : name.toString('hex'),
    kind,
    node,
    mode: (mode & 0o7777).toString(8).padStart(4, '0'),
    links,
    uid,
    gid,
    size_bytes: sizeBytes,
    used_bytes: usedBytes,
    modified_at: timeText(attributes.modified),
    changed_at: timeText(attributes.changed),
    accessed_at: timeText(attributes.accessed),
    device: kind === 'character' || kind === 'block' ? `${deviceMajor}:${deviceMinor}` : null,
  };
}

function timeText({ seconds, nanoseconds }: Attributes['modified']): string | null {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime()) || nanoseconds > 999_999_999) return null;
  return date.toISOString().replace(/\d{3}Z$/, `${String(nanoseconds).padStart(9, '0')}Z`);
}

const presentFileSystem = ({
  kind,
  label,
  uuid,
  blockBytes,
  totalBytes,
  notes,
}: FileDetails['fileSystem']): FileSystemValue => ({
  kind,
  label,
  uuid,
  block_bytes: blockBytes,
  total_bytes: totalBytes,
  notes: [...notes],
});
