/** What Basalt writes, in the hands of the unmodified driver of a real Cinder: `make test-cinder` installs it and runs this. */

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { checkChunked, restoreChunked } from '../support/cinder-repository.ts';
import type { Daemon } from '../support/daemon.ts';
import { daemonForTest } from '../support/fault-world.ts';

const driver = fileURLToPath(new URL('../support/cinder/real_driver.py', import.meta.url));

async function cinder(...words: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await promisify(execFile)('/usr/bin/python3', [driver, ...words]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Numbers that are the same in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Noise, text and zeros. */
function volume(random: () => number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; ) {
    const end = Math.min(sizeBytes, at + Math.ceil(random() * MiB));
    const kind = Math.floor(random() * 3);
    if (kind === 0) for (let byte = at; byte < end; byte += 1) bytes[byte] = Math.floor(random() * 256);
    else if (kind === 1) bytes.fill('what is kept is kept. ', at, end);
    at = end;
  }
  return bytes;
}

/** Some writes, some zeroed runs, most of them short. */
function change(random: () => number, bytes: Buffer): void {
  for (let count = 2 + random() * 6; count > 0; count -= 1) {
    const begin = Math.floor(random() * bytes.length);
    const length = Math.ceil(random() * (random() < 0.2 ? 2 * MiB : 150_000));
    const end = Math.min(bytes.length, begin + length);
    if (random() < 0.5) bytes.fill(0, begin, end);
    else for (let at = begin; at < end; at += 3) bytes[at] = Math.floor(random() * 256);
  }
}

const cases = [
  {
    compression: 'zlib',
    object_bytes: 50 * MiB,
    hash_block_bytes: 32 * KiB,
    length: 3,
    size: 6 * MiB + 12_345,
  },
  { compression: 'bz2', object_bytes: 3 * MiB, hash_block_bytes: 64 * KiB, length: 2, size: 4 * MiB },
  {
    compression: 'zstd',
    object_bytes: 1 * MiB + 32 * KiB,
    hash_block_bytes: 16 * KiB,
    length: 10,
    size: 8 * MiB + 1,
  },
  { compression: 'none', object_bytes: 96 * KiB, hash_block_bytes: 32 * KiB, length: 3, size: 3 * MiB + 512 },
] as const;

async function restoredByCinder(daemon: Daemon, root: string, id: string): Promise<Buffer> {
  const target = join(daemon.folder, `${id}.img`);
  const { given } = await cinder('restore', root, id, target);
  expect(JSON.stringify(given)).not.toContain('undefined');
  const bytes = readFileSync(target);
  rmSync(target);
  return bytes;
}

test.each(cases)(
  'Cinder restores every point of a chain of $length, $compression, and goes on with it',
  async (wish) => {
    const { length, size, ...options } = wish;
    const random = generator(size);
    const daemon = await daemonForTest();
    const [root, source] = [join(daemon.folder, 'cinder'), join(daemon.folder, 'v.img')];
    const bytes = volume(random, size);
    writeFileSync(source, bytes);
    await daemon.addVolume('v', source);
    await daemon.call('repository.add', { name: 'cinder', url: `cinder+file://${root}` });
    await daemon.call('repository.init', { name: 'cinder', ...options });
    let [latest, incrementals] = ['', 0];
    for (let number = 0; number < length; number += 1) {
      const order = { volume: 'v', repository: 'cinder', incremental: number > 0, name: `point ${number}` };
      const { backup, job_id } = await daemon.call('backup.create', order);
      await daemon.done({ job_id });
      latest = backup.id;
      const made = await daemon.call('backup.show', { backup: latest });
      incrementals += made.is_incremental ? 1 : 0;
      expect((await checkChunked(root, latest)).faults).toEqual([]);
      expect((await restoreChunked(root, latest, true)).equals(bytes)).toBe(true);
      if (number % 3 === 0 || number === length - 1)
        expect((await restoredByCinder(daemon, root, latest)).equals(bytes)).toBe(true);
      if (number < length - 1) change(random, bytes);
      writeFileSync(source, bytes);
    }
    expect(incrementals).toBeGreaterThan(0);
    const { volume_id } = await daemon.call('backup.show', { backup: latest });
    const { backup_url, backup_service } = await daemon.call('backup.record.export', { backup: latest });
    expect(backup_service).toBe('cinder.backup.drivers.posix.PosixBackupDriver');
    const record = await cinder('import', backup_url);
    expect(record).toMatchObject({ id: latest, volume_id, service: backup_service });
    const prefix = String(record['service_metadata']);
    expect(existsSync(join(root, String(record['container']), `${prefix}_metadata`))).toBe(true);

    change(random, bytes);
    writeFileSync(source, bytes);
    const next = randomUUID();
    const { compression, object_bytes: object, hash_block_bytes: block } = options;
    await cinder('backup', root, source, volume_id, next, latest, compression, String(object), String(block));
    expect((await restoredByCinder(daemon, root, next)).equals(bytes)).toBe(true);
    await daemon.done(daemon.call('repository.scan', { name: 'cinder' }));
    const target = join(daemon.folder, 'by-basalt.img');
    await daemon.done(daemon.call('backup.restore', { backup: next, target }));
    expect(readFileSync(target).equals(bytes)).toBe(true);
    const audited = await daemon.done(daemon.call('repository.audit', { name: 'cinder' }));
    expect(audited.result).toMatchObject({ backups_checked: length + 1, damages: 0 });
  },
);
