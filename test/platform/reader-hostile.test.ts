/** The reader of file systems with images that are damaged or made to do harm: each ends in an answer, a refusal, or the end of the
 *  reader alone, in bounded time. */

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { Fault } from '../../daemon/base/faults.ts';
import { type Reader, ReaderRefusal } from '../../daemon/view/browse/reader.ts';
import type { FileAttributes } from '../../daemon/view/browse/wire.ts';
import { folderForTest, loopOver, run, sparseFile } from '../support/devices.ts';
import { fillCompressed, mountedNtfs } from '../support/ntfs-images.ts';
import { filesIn, openReader } from '../support/reader-images.ts';

const MiB = 2 ** 20;

/** A generator of numbers below `limit`: the same for the same seed. */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** Touches whatever a reader shows, so far and no further. */
async function touchAll(reader: Reader): Promise<void> {
  let left = 600;
  const gently = async (work: () => Promise<unknown>) => {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof ReaderRefusal) return undefined;
      throw thrown;
    }
  };
  const walk = async (node: number, depth: number): Promise<void> => {
    await gently(() => reader.call({ operation: 'gather', node, offset: 0, length: 100_000 }));
    const files = ((await gently(() => filesIn(reader, node))) ?? []) as {
      attributes: FileAttributes;
      name: Buffer;
    }[];
    for (const { attributes, name } of files.slice(0, 100)) {
      if ((left -= 1) < 0) return;
      await gently(() => reader.call({ operation: 'lookup', node, name }));
      await gently(() => reader.call({ operation: 'attributeNames', node: attributes.node }));
      await gently(() => reader.call({ operation: 'readLink', node: attributes.node }));
      for (const offset of [0, Math.floor(attributes.sizeBytes / 2)])
        await gently(() => reader.call({ operation: 'read', node: attributes.node, offset, length: 65_536 }));
      await gently(() => reader.call({ operation: 'nextData', node: attributes.node, offset: 0 }));
      if ((attributes.mode & 0o170000) === 0o040000 && depth < 6) await walk(attributes.node, depth + 1);
    }
  };
  await walk(reader.description.root, 0);
}

test.each([
  ['ext4', ['-O', '^metadata_csum,inline_data'], 24],
  ['ext3', ['-b', '1024'], 24],
  ['ext4', [], 24],
  ['xfs', ['-m', 'crc=0'], 310],
  ['vfat', ['-F', '16', '-s', '1'], 24],
  ['vfat', ['-F', '32', '-s', '1'], 40],
  ['exfat', ['-c', '512'], 24],
  ['ntfs', ['-c', '1024'], 24],
] as const)(
  'bits that flipped in %s made with %j never end a reader',
  { timeout: 120_000 },
  async (kind, options, size) => {
    const seed = Number(process.env['BASALT_FUZZ_SEED'] ?? 7);
    const rounds = Number(process.env['BASALT_FUZZ_ROUNDS'] ?? 12);
    const folder = folderForTest();
    const content = `${folder}/content`;
    mkdirSync(`${content}/a/b`, { recursive: true });
    for (let file = 0; file < 150; file++)
      writeFileSync(`${content}/a/b/file-${file}-${'y'.repeat(30)}`, `${file}`);
    symlinkSync('z'.repeat(200), `${content}/link`);
    writeFileSync(`${content}/large`, Buffer.alloc(300_000, 5));
    const image = sparseFile(size * MiB, folder);
    if (kind === 'xfs') {
      // This kernel mounts no file system of the old version, which has no checksums: mkfs fills it.
      const files = Array.from(
        { length: 150 },
        (_, file) => `file-${file}-yyyyyyyyyyyyyyyyyyyy ---644 0 0 ${content}/link.txt`,
      );
      writeFileSync(`${content}/link.txt`, 'text');
      writeFileSync(
        `${folder}/proto`,
        [
          '/dev/null',
          '0 0',
          'd--755 0 0',
          ...files,
          'd d--755 0 0',
          'link l--777 0 0 /abc',
          '$',
          '$',
          '',
        ].join('\n'),
      );
      execFileSync('mkfs.xfs', ['-q', '-f', ...options, '-p', `${folder}/proto`, image], { stdio: 'ignore' });
    } else if (kind === 'vfat') {
      run('mkfs.vfat', ...options, image);
      run('mcopy', '-i', image, '-s', `${content}/a`, `${content}/large`, '::/');
    } else if (kind === 'exfat') {
      run('mkfs.exfat', ...options, image);
      const mount = folderForTest();
      run('mount.exfat-fuse', loopOver(image), mount);
      run('cp', '-r', `${content}/a`, `${content}/large`, mount);
      run('umount', mount);
    } else if (kind === 'ntfs') {
      run('mkntfs', '-F', '-q', ...options, image);
      const mount = mountedNtfs(image, 'compression');
      run('cp', '-r', `${content}/a`, `${content}/large`, mount);
      fillCompressed(`${mount}/packed`);
      symlinkSync('large', `${mount}/link`);
      run('umount', mount);
    } else run(`mkfs.${kind}`, '-q', '-F', ...options, '-d', content, image);
    const whole = readFileSync(image);
    const used: number[] = [];
    for (let at = 0; at < whole.length; at += 4096)
      if (whole.subarray(at, at + 4096).some((byte) => byte !== 0)) used.push(at);
    const random = numbers(seed);
    for (let round = 0; round < rounds; round++) {
      const damaged = `${image}.damaged`;
      if (round === 0) copyFileSync(image, damaged);
      const handle = openSync(damaged, 'r+');
      const undo: [number, number][] = [];
      for (let bit = 0; bit < [1, 8, 60, 400][round % 4]!; bit++) {
        const at =
          (used[random(Math.min(used.length, 40 + random(used.length)))] ?? 0) +
          random(random(2) === 0 ? 160 : 4096);
        undo.push([at, whole[at] ?? 0]);
        writeSync(
          handle,
          Buffer.from([random(3) === 0 ? 255 : (whole[at] ?? 0) ^ (1 << random(8))]),
          0,
          1,
          at,
        );
      }
      try {
        const reader = await openReader(damaged);
        try {
          await touchAll(reader);
        } finally {
          reader.close();
        }
      } catch (thrown) {
        if (!(thrown instanceof ReaderRefusal))
          throw new Error(`seed ${seed}, round ${round}`, { cause: thrown });
      }
      for (const [at, byte] of undo) writeSync(handle, Buffer.from([byte]), 0, 1, at);
      closeSync(handle);
    }
  },
);

test('a reader has no rights but to read the image', async () => {
  const image = sparseFile(24 * MiB);
  run('mkfs.ext4', '-q', '-F', image);
  const reader = await openReader(image);
  onTestFinished(() => reader.close());
  const pid = run('pgrep', '-n', 'basalt_reader');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  expect(status).toMatch(/^Seccomp:\t2$/m);
  expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
  expect(status).toMatch(/^CapPrm:\t0+$/m);
});

test('a reader that is killed is a fault of who asked, and what is no file system is refused', async () => {
  const image = sparseFile(24 * MiB);
  await expect(openReader(image)).rejects.toBeInstanceOf(ReaderRefusal);
  run('mkfs.ext4', '-q', '-F', image);
  const reader = await openReader(image);
  run('pkill', '-n', '-KILL', 'basalt_reader');
  const asked = reader.call({ operation: 'stat', node: 2 });
  await expect(asked).rejects.toBeInstanceOf(Fault);
  await expect(asked).rejects.toMatchObject({ code: 'READER_FAILED' });
  expect(reader.ended).toBe(true);
});
