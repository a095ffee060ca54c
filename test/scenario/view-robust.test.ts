/** The view in bad times and under load, of a real daemon: a repository that goes and comes back, and many readers of many huge
 *  images. */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { Daemon, eventually } from '../support/daemon.ts';
import { noise } from '../support/volume-model.ts';

const run = promisify(execFile);
const MiB = 2 ** 20;
const TiB = 2 ** 40;
let daemon: Daemon;
afterEach(() => daemon.dispose());

const volume = noise(48 * MiB, 11);

/** What a reader gets at `offset`, past the kernel's memory: the right bytes, wrong ones, or an error. */
async function readAt(image: string, offset: number): Promise<string> {
  const file = await open(image, constants.O_RDONLY | constants.O_DIRECT);
  try {
    const bytes = Buffer.alloc(4096);
    await file.read(bytes, 0, bytes.length, offset);
    return bytes.equals(volume.subarray(offset, offset + 4096)) ? 'right' : 'wrong';
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code ?? 'unknown';
  } finally {
    await file.close();
  }
}

test('while the repository is away readers get errors, and right bytes as soon as it is back', async () => {
  daemon = await Daemon.start();
  const source = join(daemon.folder, 'disk.img');
  writeFileSync(source, volume);
  await daemon.addVolume('disk', source);
  const image = await daemon.imageOf(await daemon.backUp('disk'));
  const offsets = Array.from({ length: 16 }, (_, at) => at * 3 * MiB);
  const away = `${daemon.repositoryDir}.away`;
  for (const replaced of [false, true]) {
    // A new daemon: it has nothing of the image in memory.
    await daemon.stop();
    await daemon.start();
    expect(await readAt(image, 47 * MiB)).toBe('right');
    renameSync(daemon.repositoryDir, away);
    if (replaced) mkdirSync(join(daemon.repositoryDir, 'packs'), { recursive: true });
    const answers = await Promise.all(offsets.map((offset) => readAt(image, offset)));
    // What was open already may still be read: from the packs themselves, and verified.
    expect(answers.filter((answer) => answer !== 'right' && answer !== 'EIO')).toEqual([]);
    if (replaced) rmSync(daemon.repositoryDir, { recursive: true });
    renameSync(away, daemon.repositoryDir);
    expect(new Set(await Promise.all(offsets.map((offset) => readAt(image, offset))))).toEqual(
      new Set(['right']),
    );
  }
});

test('a reader of a backup whose data was not there at the start of the daemon gets it when it is there', async () => {
  daemon = await Daemon.start();
  const source = join(daemon.folder, 'disk.img');
  writeFileSync(source, volume);
  await daemon.addVolume('disk', source);
  const image = await daemon.imageOf(await daemon.backUp('disk'));
  await daemon.stop();
  const packs = readdirSync(daemon.repositoryDir).find((name) => name.startsWith('pack')) ?? 'packs';
  const away = join(daemon.folder, 'away');
  renameSync(join(daemon.repositoryDir, packs), away);
  await daemon.start();
  expect(await readAt(image, 0)).not.toBe('wrong');
  expect(await readAt(image, 30 * MiB)).toBe('EIO');
  renameSync(away, join(daemon.repositoryDir, packs));
  // Packs that nobody knew of are looked for now and then.
  await eventually('it is read', async () => (await readAt(image, 30 * MiB)) === 'right', 40_000);
  expect(await readAt(image, 0)).toBe('right');
});

test('many huge images are seen and read by many at a time in the memory that was promised', async () => {
  daemon = await Daemon.start({ memoryLimit: '64MiB' });
  const sizeBytes = 16 * TiB - 4096;
  const places = [0, 4 * TiB, 8 * TiB + 123 * 65_536, sizeBytes - MiB - (sizeBytes % MiB)];
  const blocks = new Map<string, Buffer>();
  const [volumes, each] = [4, 8];
  await Promise.all(
    Array.from({ length: volumes }, async (_, at) => {
      const source = join(daemon.folder, `huge-${at}.img`);
      writeFileSync(source, '');
      truncateSync(source, sizeBytes);
      await daemon.addVolume(`huge-${at}`, source);
      for (let round = 0; round < each; round += 1) {
        const file = openSync(source, 'r+');
        for (const place of places) {
          const bytes = randomBytes(256 * 1024);
          writeSync(file, bytes, 0, bytes.length, place);
          if (round === each - 1) blocks.set(`${at}/${place}`, bytes);
        }
        closeSync(file);
        await daemon.backUp(`huge-${at}`, round > 0);
      }
    }),
  );
  const images = readdirSync(daemon.viewDir)
    .filter((name) => name !== 'by-time')
    .flatMap((name) =>
      readdirSync(join(daemon.viewDir, name))
        .sort()
        .map((backup) => ({ name, backup })),
    );
  expect(images).toHaveLength(volumes * each);
  expect(readdirSync(join(daemon.viewDir, 'by-time'))).toHaveLength(volumes * each);
  // Everything that has a name, with its attributes.
  const { stdout } = await run('find', [daemon.viewDir, '-printf', '%s\n']);
  expect(stdout.split('\n').filter((size) => size === String(sizeBytes))).toHaveLength(volumes * each);
  const readers = Array.from({ length: 64 }, async (_, at) => {
    const image = images[(at * 7) % images.length];
    if (image === undefined) throw new Error('there is no image');
    const path = join(daemon.viewDir, image.name, image.backup, 'volume.img');
    const words = places.map(
      (place) =>
        `dd if='${path}' bs=64k count=4 iflag=direct,skip_bytes skip=${place} status=none | sha256sum`,
    );
    return run('sh', ['-c', words.join(';')]);
  });
  expect(
    (await Promise.all(readers)).every((read) => read.stdout.split('\n').length === places.length + 1),
  ).toBe(true);
  for (const { name, backup } of images.filter((_, at) => at % each === each - 1)) {
    for (const place of places) {
      const file = await open(join(daemon.viewDir, name, backup, 'volume.img'));
      const bytes = Buffer.alloc(256 * 1024);
      await file.read(bytes, 0, bytes.length, place);
      await file.close();
      expect(bytes.equals(blocks.get(`${name.slice(-1)}/${place}`) ?? Buffer.alloc(0))).toBe(true);
    }
  }
  const peakKiB = Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]);
  expect(peakKiB / 1024).toBeLessThan(64 + 96);
}, 120_000);
