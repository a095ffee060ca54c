/** The view over a real FUSE mount: what is read through it is what the images hold, whoever reads it and how. */

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { viewSlotBytes } from '../../daemon/base/limits.ts';
import { mountedAt } from '../../daemon/base/mount-table.ts';
import { backupFolderName } from '../../daemon/view/names.ts';
import type { View } from '../../daemon/view/view.ts';
import {
  expected,
  FakeSource,
  fakeBackup,
  generatedImage,
  type ImageBehaviour,
  openFakeView,
} from '../support/view-source.ts';

const run = promisify(execFile);
const seed = 0x5eed;
const backupId = '1a2b3c4d-0000-4000-8000-000000000001';
const volumeId = '99999999-0000-4000-8000-000000000001';
// Not a multiple of a slot, a page or a sector.
const sizeBytes = 256 * MiB + 12_345;
const directRead = constants.O_RDONLY | constants.O_DIRECT;

let folder: string;
let view: View | undefined;
let source: FakeSource;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'basalt-view-'));
  source = new FakeSource();
});

afterEach(async () => {
  await view?.close();
  view = undefined;
  expect(await mountedAt(join(folder, 'view'))).toBeUndefined();
  await rm(folder, { recursive: true });
});

async function show(behaviour: ImageBehaviour = {}, slots?: number): Promise<string> {
  source.add(fakeBackup(backupId, volumeId, generatedImage(seed, sizeBytes, behaviour)), 'disk');
  view = await openFakeView(join(folder, 'view'), source, slots);
  return view.imagePath(backupId);
}

async function readAt(path: string, offset: number, length: number, flags = constants.O_RDONLY) {
  const file = await open(path, flags);
  try {
    const bytes = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } finally {
    await file.close();
  }
}

const isExpected = (bytes: Buffer, offset: number): boolean =>
  bytes.equals(expected(seed, offset, bytes.length));

async function errnoOfRead(path: string, offset: number, length: number, flags: number): Promise<string> {
  try {
    const bytes = await readAt(path, offset, length, flags);
    return isExpected(bytes, offset) ? 'right' : 'wrong';
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

test('the tree shows a folder a volume, a folder a backup, its image and its manifest', async () => {
  const path = await show();
  const root = join(folder, 'view');
  expect(await readdir(root)).toEqual(['by-time', 'disk']);
  expect(await readdir(join(root, 'disk'))).toEqual(['2026-11-21T12.31.06.123Z-1a2b3c4d']);
  const backup = join(
    root,
    'disk',
    backupFolderName({ id: backupId, created_at: '2026-11-21T12:31:06.123Z' }),
  );
  expect((await readdir(backup)).sort()).toEqual([
    'files',
    'lvm',
    'manifest.json',
    'partitions',
    'volume.img',
  ]);
  expect(await readdir(join(backup, 'partitions'))).toEqual([]);
  expect(path).toBe(join(backup, 'volume.img'));
  const image = await stat(path);
  expect([image.size, image.mode & 0o7777, image.mtime.toISOString()]).toEqual([
    sizeBytes,
    0o444,
    '2026-11-21T12:30:00.500Z',
  ]);
  expect(JSON.parse(await readFile(join(backup, 'manifest.json'), 'utf8'))).toEqual({ backup: backupId });
  await expect(stat(join(root, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(writeFile(path, 'x')).rejects.toMatchObject({ code: 'EROFS' });
});

test('a whole image read in order is the same byte for byte', async () => {
  const path = await show();
  const file = await open(path);
  const step = 3 * MiB - 1;
  const bytes = Buffer.alloc(step);
  let offset = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, 0, step, offset);
    if (bytesRead === 0) break;
    if (!isExpected(bytes.subarray(0, bytesRead), offset)) expect.fail(`differs after ${offset}`);
    offset += bytesRead;
  }
  await file.close();
  expect(offset).toBe(sizeBytes);
});

test.each([2, 3, 5, 16])(
  'random reads across and at the edges of slots are right with %i slots',
  async (slots) => {
    const path = await show({}, slots);
    let state = slots;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    for (let round = 0; round < 60; round++) {
      const offset = random(sizeBytes);
      const length = 1 + random(round % 5 === 0 ? 2 * MiB : 5000);
      const bytes = await readAt(path, offset, length, round % 2 === 0 ? directRead : constants.O_RDONLY);
      expect(bytes.length).toBe(Math.min(length, sizeBytes - offset));
      if (!isExpected(bytes, offset)) expect.fail(`differs at ${offset}, ${length} bytes`);
    }
  },
);

test('reads at, over and behind the end give what there is', async () => {
  const path = await show();
  for (const flags of [constants.O_RDONLY, directRead]) {
    expect((await readAt(path, sizeBytes - 10, 100, flags)).length).toBe(10);
    expect(
      isExpected(await readAt(path, sizeBytes - 300 * KiB, 400 * KiB, flags), sizeBytes - 300 * KiB),
    ).toBe(true);
    expect((await readAt(path, sizeBytes, 100, flags)).length).toBe(0);
    expect((await readAt(path, sizeBytes + 5 * MiB, 100, flags)).length).toBe(0);
  }
});

test.each([4, 32])(
  'sixteen processes that read at the same time all get right bytes with %i slots',
  async (slots) => {
    const path = await show({}, slots);
    const readers = Array.from({ length: 16 }, async (_, reader) => {
      const skip = (reader * 7) % 40;
      const flag = reader % 2 === 0 ? ['iflag=direct'] : [];
      const { stdout } = await run('dd', [`if=${path}`, 'bs=1M', `skip=${skip}`, 'count=8', ...flag], {
        encoding: 'buffer',
        maxBuffer: 16 * MiB,
      });
      return stdout.length === 8 * MiB && isExpected(stdout, skip * MiB);
    });
    expect(await Promise.all(readers)).toEqual(Array.from({ length: 16 }, () => true));
  },
);

test('damaged bytes answer EIO, and those before and behind them are whole', async () => {
  const damaged = [{ offset: 10 * viewSlotBytes + 64 * KiB, length: 64 * KiB, reason: 'made so' }];
  const path = await show({ damaged });
  for (const flags of [directRead, constants.O_RDONLY]) {
    const answers: string[] = [];
    for (let slot = 8; slot < 13; slot++) {
      answers.push(await errnoOfRead(path, slot * viewSlotBytes, viewSlotBytes, flags));
    }
    expect(answers).toEqual(['right', 'right', 'EIO', 'right', 'right']);
  }
  for (const flags of [directRead, constants.O_RDONLY]) {
    const answers: string[] = [];
    for (const at of [0, 60, 64, 96, 124, 128, 252])
      answers.push(await errnoOfRead(path, 10 * viewSlotBytes + at * KiB, 4096, flags));
    expect(answers).toEqual(['right', 'right', 'EIO', 'EIO', 'EIO', 'right', 'right']);
  }
  expect(await errnoOfRead(path, 10 * viewSlotBytes + 60 * KiB, 8192, directRead)).toBe('EIO');
  expect(await errnoOfRead(path, 10 * viewSlotBytes + 124 * KiB, 8192, directRead)).toBe('EIO');
});

test('damage of a few bytes over the border of two slots costs two pages', async () => {
  const border = 10 * viewSlotBytes;
  const path = await show({ damaged: [{ offset: border - 10, length: 20, reason: 'made so' }] });
  const answers: string[] = [];
  for (const page of [-2, -1, 0, 1])
    answers.push(await errnoOfRead(path, border + page * 4096, 4096, constants.O_RDONLY));
  expect(answers).toEqual(['right', 'EIO', 'EIO', 'right']);
});

test('damaged bytes are asked for again, and those beside them are not', async () => {
  const damaged = [{ offset: 10 * viewSlotBytes + 64 * KiB, length: 64 * KiB, reason: 'made so' }];
  let reads = 0;
  const path = await show({
    damaged,
    before: async () => {
      reads += 1;
    },
  });
  const readAt = (at: number) => errnoOfRead(path, 10 * viewSlotBytes + at * KiB, 4096, directRead);
  expect(await readAt(64)).toBe('EIO');
  const before = reads;
  for (const at of [0, 32, 128, 252]) expect(await readAt(at)).toBe('right');
  expect(reads).toBe(before);
  expect(await readAt(64)).toBe('EIO');
  damaged.pop();
  expect(await readAt(64)).toBe('right');
  expect(await readAt(124)).toBe('right');
  expect(reads).toBe(before + 2);
});

test('a backup that fails once is read again, and a rejected read is EIO', async () => {
  let failing = true;
  const path = await show({
    before: async () => {
      if (failing) throw new Error('the storage is away');
    },
  });
  expect(await errnoOfRead(path, 0, 4096, directRead)).toBe('EIO');
  failing = false;
  expect(await errnoOfRead(path, 0, 4096, directRead)).toBe('right');
});

test('what is in the cache is read again without asking for it', async () => {
  let reads = 0;
  const path = await show({
    before: async () => {
      reads++;
    },
  });
  await readAt(path, 0, 2 * MiB, directRead);
  const before = view?.statistics();
  const readsBefore = reads;
  await readAt(path, 0, 1 * MiB, directRead);
  const after = view?.statistics();
  expect(reads).toBe(readsBefore);
  expect((after?.hits ?? 0) - (before?.hits ?? 0)).toBeGreaterThan(0);
  expect(after?.misses).toBe(before?.misses);
  expect(after?.usedSlots).toBeGreaterThanOrEqual(8);
});

test('many readers of one missing slot cause one read of the image', async () => {
  const offsets: number[] = [];
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const path = await show({
    before: async (offset) => {
      offsets.push(offset);
      await held;
    },
  });
  const readers = Array.from({ length: 6 }, (_, reader) =>
    run('dd', [`if=${path}`, 'bs=4096', `skip=${2560 + reader}`, 'count=1', 'iflag=direct'], {
      encoding: 'buffer',
    }),
  );
  // Each reader has come as far as the kernel's read when the session has counted it.
  await expect.poll(() => view?.statistics().reads, { timeout: 20_000 }).toBe(6);
  release();
  const answers = await Promise.all(readers);
  expect(answers.every(({ stdout }, reader) => isExpected(stdout, (2560 + reader) * 4096))).toBe(true);
  expect(offsets).toEqual([40 * viewSlotBytes]);
});

test('a backup that was removed is not found any more, and a new one is', async () => {
  const path = await show();
  await stat(path);
  const file = await open(path, directRead);
  source.remove(backupId);
  view?.dropBackup(backupId);
  await expect(file.read(Buffer.alloc(4096), 0, 4096, 0)).rejects.toMatchObject({ code: 'EIO' });
  await file.close();
  await expect
    .poll(
      () =>
        stat(path).then(
          () => 'there',
          (thrown: NodeJS.ErrnoException) => thrown.code,
        ),
      { timeout: 5000 },
    )
    .toBe('ENOENT');
  const next = 'ffffffff-0000-4000-8000-000000000002';
  source.add(fakeBackup(next, volumeId, generatedImage(seed, 1 * MiB)), 'disk');
  expect(isExpected(await readFile(view?.imagePath(next) ?? ''), 0)).toBe(true);
  expect(() => view?.imagePath(backupId)).toThrow(expect.objectContaining({ code: 'BACKUP_UNKNOWN' }));
});

test('closing ends at once with files open and reads that never come back', async () => {
  const path = await show({ before: () => new Promise(() => undefined) });
  const file = await open(path, directRead);
  const reader = run('dd', [`if=${path}`, 'bs=1M', 'count=4', 'of=/dev/null']);
  const outcome = reader.then(
    () => 'read',
    (thrown: { stderr: string }) => thrown.stderr,
  );
  await expect.poll(() => view?.statistics().reads, { timeout: 20_000 }).toBeGreaterThan(0);
  const startedAtMs = Date.now();
  await view?.close();
  expect(Date.now() - startedAtMs).toBeLessThan(4000);
  expect(await outcome).toMatch(/Input\/output error|not connected|abort/i);
  await expect(file.read(Buffer.alloc(512), 0, 512, 0)).rejects.toThrow();
  await file.close();
});

test('a view that somebody else unmounted says so, and still closes', async () => {
  let ended: () => void = () => undefined;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  view = await openFakeView(join(folder, 'view'), source, 4, () => ended());
  await run('umount', [join(folder, 'view')]);
  await end;
  await view.close();
});

test('what somebody mounts over the place of a view that was unmounted is left alone', async () => {
  const directory = join(folder, 'view');
  view = await openFakeView(directory, source, 4);
  await run('umount', [directory]);
  await run('mount', ['-t', 'tmpfs', 'stranger', directory]);
  await view.close();
  const left = await mountedAt(directory);
  await run('umount', [directory]);
  expect(left?.source).toBe('stranger');
});
