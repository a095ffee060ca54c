/** Cinder backups made by the writer alone, and the second reader that looks at them. Knows nothing of daemons. */

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { segmentBytes } from '../../daemon/base/limits.ts';
import type { BackupManifest } from '../../daemon/format/manifest.ts';
import { CinderBackupWriter } from '../../daemon/repository/cinder/backup-writer.ts';
import { containerFor } from '../../daemon/repository/cinder/names.ts';
import { fileMode } from '../../daemon/repository/cinder/publish.ts';
import type { ParentHashes } from '../../daemon/repository/cinder/runs.ts';
import type { CinderSettings } from '../../daemon/repository/cinder/settings.ts';
import { Staging } from '../../daemon/storage/staging.ts';
import { native } from '../../native/native.ts';
import { fieldsOf } from './repository.ts';

const reader = fileURLToPath(new URL('cinder/chunked_reader.py', import.meta.url));

export async function runChunkedReader(...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('/usr/bin/python3', [reader, ...words], {
    maxBuffer: 2 ** 26,
  });
  return stdout;
}

export interface ChunkedCheck {
  readonly faults: readonly string[];
  readonly objects: number;
  readonly hashes: number;
  readonly compressions: readonly string[];
}

export const checkChunked = async (root: string, backupId: string): Promise<ChunkedCheck> =>
  JSON.parse(await runChunkedReader('check', root, backupId)) as ChunkedCheck;

/** What a Cinder makes of a backup; `new`: one of 2023.1 or later, to a new volume. */
export async function restoreChunked(root: string, backupId: string, isNew: boolean): Promise<Buffer> {
  const output = join(root, `.restored-${randomUUID()}`);
  await runChunkedReader('restore', root, backupId, output, ...(isNew ? ['--new'] : []));
  return readFile(output);
}

/** The hash list of a small backup. */
export async function hashesOf(root: string, { backup }: BackupManifest): Promise<ParentHashes> {
  const folder = join(root, backup.container ?? '');
  const name = (await readdir(folder)).find((entry) => entry.endsWith(`_backup_${backup.id}_sha256file`));
  const text = await readFile(join(folder, name ?? ''), 'utf8');
  const { sha256s } = JSON.parse(text) as { sha256s: string[] };
  const all = Buffer.from(sha256s.join(''), 'hex');
  return {
    take: (first, count) => Promise.resolve(all.subarray(first * 32, (first + count) * 32)),
    close: () => Promise.resolve(),
    isThere: () => Promise.resolve(true),
    chain: [],
  };
}

export type Write = Pick<CinderSettings, 'compression' | 'object_bytes' | 'hash_block_bytes'>;

/** Backs `bytes` up. Segments of zeros are not read, as if they were holes; several are under way at a time. */
export async function writeChunked(
  root: string,
  write: Write,
  bytes: Buffer,
  parent?: BackupManifest,
  commit?: () => void,
): Promise<BackupManifest> {
  const source = join(root, `.source-${randomUUID()}`);
  await writeFile(source, bytes);
  const id = randomUUID();
  const fields = fieldsOf(id, bytes.length);
  const staging = await Staging.open(root, `basalt-tmp/${id}`, fileMode);
  const settings = { kind: 'cinder', created_at: '', ...write } as const;
  const hashes = parent === undefined ? undefined : await hashesOf(root, parent);
  const named = { ...fields, backup: { ...fields.backup, parent_id: parent?.backup.id ?? null } };
  const container = containerFor(id, null);
  const writer = await CinderBackupWriter.open(
    { native, staging, settings, container, parent: hashes },
    named,
  );
  const file = await open(source);
  try {
    const underWay: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      const length = Math.min(segmentBytes, bytes.length - at);
      if (bytes.subarray(at, at + length).every((byte) => byte === 0)) continue;
      const buffers = [new Uint8Array(segmentBytes), new Uint8Array(segmentBytes)] as const;
      underWay.push(writer.seal({ fd: file.fd, directFd: -1 }, at, length, ...buffers));
    }
    const ended = await Promise.allSettled(underWay);
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
    return await writer.finish(named, commit);
  } catch (thrown) {
    await writer.abort();
    throw thrown;
  } finally {
    await file.close();
  }
}
