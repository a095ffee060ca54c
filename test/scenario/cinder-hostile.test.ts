/** What is wrong in a Cinder repository, by damage or on purpose: named in bounded time and memory, never given out as data. */

import { createHash, randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { addAndScan, type MadeBackup, makeChain, objectOf } from '../support/cinder-chain.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { daemonForTest } from '../support/fault-world.ts';

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-hostile-'));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Flips one bit in the middle of a file. */
function flip(path: string, at = Math.floor(readFileSync(path).length / 2)): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(path, bytes);
}

const backupId = 'bbbbbbbb-0000-4000-8000-000000000001';
const volumeId = 'aaaaaaaa-0000-4000-8000-000000000001';
const prefix = `volume_${volumeId}_20260102030405_backup_${backupId}`;
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

interface Made {
  readonly objects: readonly unknown[];
  readonly parent?: string;
  readonly files?: Readonly<Record<string, Uint8Array>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A repository with one backup whose metadata says what it is told to say. */
function write({ objects, parent, files = {}, more = {} }: Made): string {
  const folder = newFolder();
  const root = join(folder, 'repository', 'all');
  mkdirSync(root, { recursive: true });
  for (const [ending, bytes] of Object.entries(files)) writeFileSync(join(root, `${prefix}${ending}`), bytes);
  const metadata = {
    version: '1.0.0',
    backup_id: backupId,
    volume_id: volumeId,
    objects,
    parent_id: parent ?? null,
  };
  writeFileSync(join(root, `${prefix}_metadata`), JSON.stringify({ ...metadata, ...more }, undefined, 2));
  return folder;
}

const object = (number: number, fields: object) => ({
  [`${prefix}-${String(number).padStart(5, '0')}`]: {
    compression: 'none',
    length: 65_536,
    offset: 0,
    md5: md5(new Uint8Array(65_536)),
    ...fields,
  },
});

/** What the one backup is found to lack. */
async function missingOf(daemon: Daemon, folder: string): Promise<string> {
  const { result } = await addAndScan(daemon, folder);
  const { backups } = result as { backups: { missing: string; is_complete: boolean }[] };
  return backups.map(({ is_complete, missing }) => `${is_complete}: ${missing}`).join('\n');
}

const zeros = { '-00001': new Uint8Array(65_536) };

const refused: readonly (readonly [string, Made, RegExp])[] = [
  ['a negative offset', { objects: [object(1, { offset: -4096 })] }, /object number 1 is not possible/],
  [
    'an offset beyond every volume',
    { objects: [object(1, { offset: 2 ** 60 })] },
    /object number 1 is not possible/,
  ],
  [
    'an offset that is no number',
    { objects: [object(1, { offset: '0' })] },
    /object number 1 is not possible/,
  ],
  ['a length of nothing', { objects: [object(1, { length: 0 })] }, /object number 1 is not possible/],
  [
    'an algorithm that nobody knows',
    { objects: [object(1, { compression: 'lzma' })] },
    /unknown compression/,
  ],
  [
    'objects over each other',
    { objects: [object(1, {}), object(2, { offset: 4096 })], files: zeros },
    /overlap at byte 4096/,
  ],
  [
    'a name of somebody else',
    { objects: [{ '../../etc/passwd': object(1, {}) }] },
    /a name that is none of this backup/,
  ],
  [
    'a name that leads away',
    { objects: [{ [`${prefix}/../../x`]: {} }] },
    /a name that is none of this backup/,
  ],
  [
    'a name of 100 KiB',
    { objects: [{ [`${prefix}${'x'.repeat(100 * KiB)}`]: {} }] },
    /object number 1 is not possible/,
  ],
  ['a parent that is itself', { objects: [], parent: backupId }, /run in a circle/],
  ['a parent that is nowhere', { objects: [], parent: volumeId }, /its parent ".*" is missing/],
  ['the id of another backup', { objects: [], more: { backup_id: volumeId } }, /it is of backup/],
  ['another version', { objects: [], more: { version: '2.0.0' } }, /"version" is not 1.0.0/],
  ['objects that are no list', { objects: [], more: { objects: { a: 1 } } }, /"objects" is not/],
  [
    'deep nesting',
    { objects: [], more: { extra: JSON.parse('['.repeat(100) + ']'.repeat(100)) as unknown } },
    /is not JSON/,
  ],
];

test('metadata that can not be right is refused, and why is said', async () => {
  const daemon = await daemonForTest();
  for (const [what, made, wanted] of refused) {
    expect(await missingOf(daemon, write(made)), what).toMatch(wanted);
    expect((await daemon.call('backup.list', {})).backups, what).toEqual([]);
    await daemon.call('repository.remove', { name: 'old' });
  }
});

test('bombs, cut objects and frames that demand gigabytes end in a fault, in a few megabytes', async () => {
  const daemon = await daemonForTest();
  const bomb = deflateSync(Buffer.alloc(64 * MiB));
  // Magic, a descriptor without a size, and the byte of a window of 2 GiB.
  const window = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0]);
  const cases: readonly (readonly [Uint8Array, string, RegExp])[] = [
    [bomb, 'zlib', /is longer than the 2097152 bytes/],
    [bomb.subarray(0, 100), 'zlib', /cut off|ends at byte/],
    [randomBytes(1000), 'zlib', /zlib data is damaged/],
    [randomBytes(1000), 'bz2', /bz2 data is damaged/],
    [window, 'zstd', /demands \d+ bytes of memory/],
    [randomBytes(1000), 'zstd', /no zstd frame/],
  ];
  for (const [number, [bytes, compression, wanted]] of cases.entries()) {
    const length = 2 * MiB;
    const folder = write({
      objects: [object(1, { compression, length, md5: md5(Buffer.alloc(length)) })],
      files: { '-00001': bytes },
    });
    await addAndScan(daemon, folder, `n${number}`);
    const before = process.hrtime.bigint();
    const job = await daemon.failed(daemon.call('backup.verify', { backup: backupId }), 'FOUND_DAMAGE');
    const { damaged } = job.result as { damaged: { reason: string }[] };
    expect(damaged[0]?.reason).toMatch(wanted);
    expect(Number(process.hrtime.bigint() - before) / 1e9).toBeLessThan(20);
    await daemon.call('repository.remove', { name: `n${number}`, force: true });
  }
  expect((await daemon.call('status', {})).memory.rss_bytes).toBeLessThan(400 * MiB);
});

test.each(['zlib', 'bz2', 'zstd', 'none'] as const)(
  'a flipped bit in any file of a %s backup is found, and nothing wrong is given out',
  async (compression) => {
    const folder = newFolder();
    const made = makeChain(folder, {
      compression,
      count: 2,
      seed: 3,
      size: 3 * MiB,
      chunk: 2 * MiB,
      shrink: false,
    });
    const [full, next] = made as [MadeBackup, MadeBackup];
    const daemon = await daemonForTest();
    await addAndScan(daemon, folder);
    const wanted = readFileSync(next.image);
    const target = join(daemon.folder, 'target.img');
    for (const path of [
      objectOf(folder, full, '-00001'),
      objectOf(folder, full, '-00002'),
      objectOf(folder, next, '-00001'),
      objectOf(folder, next, '_sha256file'),
      objectOf(folder, next, '_metadata'),
    ]) {
      const whole = readFileSync(path);
      flip(path, Math.floor(whole.length * 0.6));
      const started = await daemon
        .call('backup.restore', { backup: next.id, target, force: true })
        .catch(() => undefined);
      const job = started === undefined ? undefined : await daemon.ended(started.job_id);
      // Only a bit that means nothing, like one in a text, may go unnoticed.
      if (job?.status === 'done') expect(readFileSync(target).equals(wanted), path).toBe(true);
      else rmSync(target, { force: true });
      if (!path.endsWith('_metadata')) {
        const verified = await daemon.ended((await daemon.call('backup.verify', { backup: next.id })).job_id);
        const isHidden = verified.status === 'done' && job?.status === 'done';
        if (!isHidden) expect(verified.fault?.code, path).toBe('FOUND_DAMAGE');
        if (path.endsWith('_sha256file')) expect(verified.fault?.code, path).toBe('FOUND_DAMAGE');
      }
      writeFileSync(path, whole);
    }
    await daemon.done(daemon.call('backup.verify', { backup: next.id }));
  },
);

test('symbolic links and pipes are not followed, and nothing outside of the root is read', async () => {
  const folder = newFolder();
  const made = makeChain(folder, { compression: 'none', count: 1, seed: 4, size: MiB, container: 'real' });
  const [backup] = made as [MadeBackup];
  const outside = join(folder, 'outside');
  mkdirSync(outside);
  const path = objectOf(folder, backup, '-00001');
  writeFileSync(join(outside, 'data'), readFileSync(path));
  rmSync(path);
  symlinkSync(join(outside, 'data'), path);
  symlinkSync(outside, join(folder, 'repository', 'linked'));
  const daemon = await daemonForTest();
  const { result } = await addAndScan(daemon, folder);
  expect(result).toMatchObject({ complete: 0, incomplete: 1 });
  expect(await codeOfCall(daemon.call('backup.restore', { backup: backup.id }))).toBe('BACKUP_UNKNOWN');
});

test('an object that is shorter than it was is damage, and the rest of the volume can be read', async () => {
  const folder = newFolder();
  const made = makeChain(folder, { compression: 'none', count: 1, seed: 6, size: 4 * MiB, chunk: 2 * MiB });
  const [backup] = made as [MadeBackup];
  const daemon = await daemonForTest();
  await addAndScan(daemon, folder);
  truncateSync(objectOf(folder, backup, '-00002'), MiB);
  const job = await daemon.failed(daemon.call('backup.verify', { backup: backup.id }), 'FOUND_DAMAGE');
  expect(job.result).toMatchObject({ damaged: [{ offset: 2 * MiB, length: 2 * MiB }] });
});
