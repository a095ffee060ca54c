/** Sources on real files, loop devices and mounts: what is refused, who is named, and what runs are reported. */

import { spawn } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GiB, MiB, TiB } from '../../daemon/base/bytes.ts';
import { describeDevice } from '../../daemon/devices/describe.ts';
import { sourceReadFault } from '../../daemon/devices/faults.ts';
import { openSource } from '../../daemon/devices/source.ts';
import { native } from '../../native/native.ts';
import {
  codeOf,
  emptyLoop,
  faultOf,
  folderForTest,
  holdOpen,
  loopOver,
  mountAt,
  mountedExt4,
  partitionOn,
  pattern,
  run,
  runsOf,
  sparseFile,
  writeFully,
} from '../support/devices.ts';

const open = (url: string, force = false) => openSource({ native }, url, { force });

/** Opens with force, for what it says of uses, and closes. */
async function usesOf(url: string): Promise<readonly string[]> {
  const source = await open(url, true);
  await source.close();
  return source.usedBy;
}

function writeTo(path: string, bytes: Uint8Array, position: number): void {
  const fd = openSync(path, 'r+');
  writeFully(fd, bytes, position);
  closeSync(fd);
}

test('the runs of a sparse file are its data and its holes, and holes may be as long as the file', async () => {
  const path = sparseFile(TiB);
  const all = await open(path);
  expect(await runsOf(all)).toEqual([`hole 0+${TiB}`]);
  await all.close();
  writeTo(path, pattern(4096), 3 * GiB);
  writeTo(path, pattern(4096), 3 * GiB + 8192);
  const source = await open(path);
  expect(await runsOf(source)).toEqual([
    `hole 0+${3 * GiB}`,
    `data ${3 * GiB}+4096`,
    `hole ${3 * GiB + 4096}+4096`,
    `data ${3 * GiB + 8192}+4096`,
    `hole ${3 * GiB + 12288}+${TiB - 3 * GiB - 12288}`,
  ]);
  await source.close();
});

test('an empty file has no runs', async () => {
  const source = await open(sparseFile(0));
  expect(await runsOf(source)).toEqual([]);
  await source.close();
});

test('a file system that knows no holes makes everything data', async () => {
  const folder = folderForTest();
  run('mount', '-t', 'ramfs', 'none', folder);
  onTestFinished(() => void run('umount', '--lazy', folder));
  const source = await open(sparseFile(MiB, folder));
  expect(await runsOf(source)).toEqual([`data 0+${MiB}`]);
  await source.close();
});

test.each([
  ['grows', 2 * MiB],
  ['shrinks', 4096],
  ['shrinks to nothing', 0],
])(
  'a file that %s while it is read still has runs up to its first size, and is found changed',
  async (_name, sizeBytes) => {
    const path = sparseFile(MiB);
    writeTo(path, pattern(4096), 0);
    writeTo(path, pattern(4096), MiB - 4096);
    const source = await open(path);
    const walk = source.extents()[Symbol.asyncIterator]();
    let end = 0;
    for (let next = await walk.next(); next.done !== true; next = await walk.next()) {
      expect(next.value.offset).toBe(end);
      if (end === 0) truncateSync(path, sizeBytes);
      end += next.value.length;
    }
    expect(end).toBe(MiB);
    expect(await codeOf(source.checkUnchanged())).toBe('SOURCE_CHANGED');
    await source.close();
  },
);

test('a loop device that is given another size is found changed', async () => {
  const image = sparseFile(4 * MiB);
  const device = loopOver(image);
  const source = await open(device);
  truncateSync(image, 8 * MiB);
  run('losetup', '--set-capacity', device);
  expect(await codeOf(source.checkUnchanged())).toBe('SOURCE_CHANGED');
  await source.close();
});

test('symbolic links are followed, and the URL keeps the name that was given', async () => {
  const folder = folderForTest();
  const path = sparseFile(4096, folder);
  symlinkSync(path, join(folder, 'link'));
  const source = await open(join(folder, 'link'));
  expect(source).toMatchObject({ url: `file://${folder}/link`, sizeBytes: 4096 });
  await source.close();
});

test('nothing at the path is SOURCE_MISSING, and what is no file or block device is SOURCE_UNUSABLE', async () => {
  const folder = folderForTest();
  const path = sparseFile(4096, folder);
  mkdirSync(join(folder, 'inner'));
  run('mkfifo', join(folder, 'pipe'));
  symlinkSync('circle', join(folder, 'circle'));
  const server = createServer().listen(join(folder, 'socket'));
  onTestFinished(() => void server.close());
  for (const name of ['none', 'none/deeper', 'disk.img/below']) {
    expect(await codeOf(open(join(folder, name)))).toBe('SOURCE_MISSING');
  }
  for (const name of ['inner', 'pipe', 'socket', 'circle', 'n'.repeat(300)]) {
    expect(await codeOf(open(join(folder, name)))).toBe('SOURCE_UNUSABLE');
    expect(await codeOf(describeDevice(join(folder, name)))).toBe('SOURCE_UNUSABLE');
  }
  expect(await codeOf(open('/dev/null'))).toBe('SOURCE_UNUSABLE');
  expect(await codeOf(open(`block://${path}`))).toBe('SOURCE_UNUSABLE');
  expect(await codeOf(open(`loop://${path}`))).toBe('SOURCE_UNUSABLE');
});

test('a loop device with nothing attached is SOURCE_UNUSABLE', async () => {
  expect(await codeOf(open(emptyLoop()))).toBe('SOURCE_UNUSABLE');
  expect(await codeOf(describeDevice(emptyLoop()))).toBe('SOURCE_UNUSABLE');
});

test('a file that another process has open for writing is refused with its name, until it lets go', async () => {
  const path = sparseFile(MiB);
  const reader = await holdOpen(path, '<');
  await (await open(path)).close();
  const writer = await holdOpen(path, '<>');
  const fault = await faultOf(open(path));
  expect(fault).toMatchObject({ code: 'SOURCE_BUSY' });
  expect(fault.message).toContain(`open for writing by process ${writer.pid} "sh"`);
  expect(fault.message).not.toContain(String(reader.pid));
  expect(await usesOf(path)).toEqual([`open for writing by process ${writer.pid} "sh"`]);
  const gone = new Promise((resolve) => writer.once('exit', resolve));
  writer.stdin?.end();
  await gone;
  await (await open(path)).close();
});

test('a file that only this process has open for writing is not in use', async () => {
  const path = sparseFile(MiB);
  const fd = openSync(path, 'r+');
  onTestFinished(() => closeSync(fd));
  const source = await open(path);
  ftruncateSync(fd, 5);
  expect(source.usedBy).toEqual([]);
  await source.close();
});

test('a block device that another process has open for writing is refused with its name', async () => {
  const device = loopOver(sparseFile(MiB));
  const writer = await holdOpen(device, '<>');
  expect(await codeOf(open(device))).toBe('SOURCE_BUSY');
  expect(await usesOf(device)).toEqual([`open for writing by process ${writer.pid} "sh"`]);
});

test('a mounted device, and the file under it, are refused with the mount point; force opens them and keeps the evidence', async () => {
  const { image, device, folder } = mountedExt4();
  const fault = await faultOf(open(device));
  expect(fault.code).toBe('SOURCE_BUSY');
  expect(fault.message).toContain(`mounted at "${folder}"`);
  expect(await codeOf(open(image))).toBe('SOURCE_BUSY');
  expect(await usesOf(device)).toEqual([`mounted at "${folder}"`]);
  expect(await usesOf(image)).toEqual([`attached to "${device}"`, `"${device}" is mounted at "${folder}"`]);
});

test('where the kernel does not count what is written to a device, nothing shows that it was left alone', async () => {
  const device = loopOver(sparseFile(4 * MiB));
  const counting = `/sys/block/${basename(device)}/queue/iostats`;
  const source = await open(device);
  try {
    expect(await source.evidence()).toBeDefined();
    writeFileSync(counting, '0');
    expect(await source.evidence()).toBe(undefined);
  } finally {
    writeFileSync(counting, '1');
    await source.close();
  }
});

test('a btrfs mount, whose device number is its own making, is found', async () => {
  const image = sparseFile(128 * MiB);
  run('mkfs.btrfs', '-q', image);
  const device = loopOver(image);
  const folder = mountAt(device);
  expect(await usesOf(device)).toEqual([`mounted at "${folder}"`]);
});

test('a mount that only another mount namespace sees is found by the exclusive open', async () => {
  const image = sparseFile(32 * MiB);
  run('mkfs.ext4', '-q', '-F', image);
  const device = loopOver(image);
  const folder = folderForTest();
  const script = 'mount "$1" "$2" && echo ready && read -r line';
  const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', device, folder], { stdio: 'pipe' });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  expect(await codeOf(open(device))).toBe('SOURCE_BUSY');
  expect(await usesOf(device)).toEqual(['claimed by another program or the kernel']);
  child.stdin.end();
  await gone;
});

test('a mounted partition makes its disk busy, and a disk opened for writing its partition', async () => {
  const disk = loopOver(sparseFile(32 * MiB));
  const partition = partitionOn(disk);
  run('mkfs.ext4', '-q', '-F', partition);
  const folder = mountAt(partition);
  expect(await usesOf(disk)).toEqual([`"${partition}" is mounted at "${folder}"`]);
  expect(await usesOf(partition)).toEqual([`mounted at "${folder}"`]);
  const writer = await holdOpen(disk, '<>');
  expect(await usesOf(partition)).toContain(`"${disk}" is open for writing by process ${writer.pid} "sh"`);
});

test('a device that is swapped to is refused', async () => {
  const device = loopOver(sparseFile(4 * MiB));
  run('mkswap', device);
  run('swapon', device);
  onTestFinished(() => void run('swapoff', device));
  expect(await codeOf(open(device))).toBe('SOURCE_BUSY');
  expect(await usesOf(device)).toEqual(['used as swap']);
});

test('a loop device over another device makes that one busy, unless it can only read', async () => {
  const device = loopOver(sparseFile(4 * MiB));
  const image = sparseFile(4 * MiB);
  loopOver(image, '--read-only');
  expect(await usesOf(image)).toEqual([]);
  const over = loopOver(device);
  expect(await usesOf(device)).toContain(`attached to "${over}"`);
});

test('while a source is read nobody else can mount it', async () => {
  const image = sparseFile(32 * MiB);
  run('mkfs.ext4', '-q', '-F', image);
  const device = loopOver(image);
  const source = await open(device);
  expect(() => run('mount', device, folderForTest())).toThrow('already mounted');
  await source.close();
  mountAt(device);
});

test('a read error of the device is SOURCE_READ_FAILED with the place', async () => {
  const image = sparseFile(4 * MiB);
  const device = loopOver(image);
  const source = await open(device);
  truncateSync(image, 0);
  const failed = (): unknown => {
    try {
      return readSync(source.fd, Buffer.alloc(4096), 0, 4096, MiB);
    } catch (thrown) {
      return thrown;
    }
  };
  const fault = sourceReadFault(source.url, Object.assign(failed() as Error, { position: MiB }));
  expect(fault.code).toBe('SOURCE_READ_FAILED');
  expect(fault.message).toBe(
    `Cannot read "${source.url}" at byte ${MiB}: the device reports an input/output error`,
  );
  await source.close();
});
