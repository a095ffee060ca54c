/** basaltd is killed at random moments, and started again on the same state.
 *  BASALT_KILLS: how many times. */

import { randomBytes, randomInt } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { CrashWorld, ext4Bytes } from '../support/crash-world.ts';
import { Daemon } from '../support/daemon.ts';
import { holdOpen, run } from '../support/devices.ts';

const kills = Number(process.env['BASALT_KILLS'] ?? 25);
const MiB = 2 ** 20;

/** A loop device and a mount that belong to somebody else. */
const bystander = { folder: '', device: '' };
let daemon: Daemon;

beforeAll(() => {
  bystander.folder = realpathSync(mkdtempSync(join(tmpdir(), 'basalt-bystander-')));
  const image = join(bystander.folder, 'disk.img');
  writeFileSync(image, ext4Bytes(bystander.folder));
  bystander.device = run('losetup', '--find', '--show', image);
  mkdirSync(join(bystander.folder, 'mounted'));
  run('mount', '-o', 'ro', bystander.device, join(bystander.folder, 'mounted'));
});

afterEach(() => daemon.dispose());

afterAll(() => {
  run('umount', join(bystander.folder, 'mounted'));
  run('losetup', '--detach', bystander.device);
  rmSync(bystander.folder, { recursive: true });
});

function bystanderIsUntouched(): void {
  expect(readFileSync(join(bystander.folder, 'mounted', 'hello'), 'utf8')).toBe('hello from the past\n');
  expect(run('losetup', '--noheadings', '--output', 'BACK-FILE', bystander.device)).toBe(
    join(bystander.folder, 'disk.img'),
  );
}

/** Begins several things at once; each may be cut off by the kill at any point. */
function beginEverything(world: CrashWorld): Promise<unknown> {
  const work = world.volumes.map((volume) =>
    world.backUp(volume, world.backups.size > 6 && randomInt(2) === 0),
  );
  for (const existing of [true, false, false]) {
    const backup = world.anyAvailable();
    if (backup !== undefined) work.push(world.restore(backup, existing).then(() => backup));
  }
  const [first] = world.backups.keys();
  if (first !== undefined) work.push(world.mount(first, randomInt(2) === 0));
  const victim = world.backups.size > 9 ? world.anyAvailable() : undefined;
  if (victim !== undefined) work.push(world.delete(victim).then(() => victim));
  return Promise.allSettled(work);
}

test(
  `killed ${kills} times at random moments, it never loses an acknowledged backup and leaves nothing behind`,
  async () => {
    daemon = await Daemon.start();
    const world = new CrashWorld(daemon);
    await world.addVolume(world.files, ext4Bytes(daemon.folder));
    await world.addVolume('a', randomBytes(20 * MiB + 777));
    await world.addVolume('b', Buffer.concat([randomBytes(6 * MiB), Buffer.alloc(9 * MiB), randomBytes(99)]));
    for (const volume of world.volumes) await world.backUp(volume, false);
    for (let kill = 1; kill <= kills; kill += 1) {
      world.change();
      const all = beginEverything(world);
      // The moment is what is random here; nothing is waited for.
      await Promise.race([all, wait(randomInt(0, 350))]);
      await daemon.kill();
      await all;
      await daemon.start();
      await world.check();
      bystanderIsUntouched();
      const any = world.anyAvailable();
      if (any !== undefined) await world.compare(any);
      if (kill % 5 === 0) await world.checkRepository();
    }
    for (const id of world.backups.keys()) await world.compare(id);
    await world.checkRepository();
    expect(daemon.log).not.toContain('is a bug');
  },
  60_000 + kills * 8_000,
);

test('killed while a backup is mounted and in use, it cleans up its own mounts and loop devices only', async () => {
  daemon = await Daemon.start();
  const world = new CrashWorld(daemon);
  await world.addVolume(world.files, ext4Bytes(daemon.folder));
  const id = await world.backUp(world.files, false);
  const directory = await world.mount(id, true);
  expect(readFileSync(join(directory, 'hello'), 'utf8')).toBe('hello from the past\n');
  const device = run('findmnt', '--noheadings', '--output', 'SOURCE', directory);
  const loop = join('/sys/block', basename(device), 'loop', 'backing_file');
  // The kernel names the image from the root of its file system once the view is detached.
  const isOurs = () => existsSync(loop) && readFileSync(loop, 'utf8').trim().endsWith('/volume.img');
  expect(isOurs()).toBe(true);
  const reader = await holdOpen(join(directory, 'noise'), '<');
  await daemon.kill();
  await daemon.start();
  expect(daemon.mounts()).toEqual([daemon.viewDir]);
  reader.kill('SIGKILL');
  await new Promise((resolve) => reader.once('exit', resolve));
  await expect.poll(isOurs, { timeout: 10_000 }).toBe(false);
  await world.check();
  bystanderIsUntouched();
  expect(readFileSync(join(await world.mount(id, true), 'hello'), 'utf8')).toBe('hello from the past\n');
});

test.each([
  ['directly', false],
  ['by way of a symbolic link', true],
])(
  'a loop device that was made and not recorded before the kill is given back (state folder named %s)',
  async (_how, linked) => {
    daemon = await Daemon.start({ linked });
    const world = new CrashWorld(daemon);
    await world.addVolume(world.files, ext4Bytes(daemon.folder));
    const id = await world.backUp(world.files, false);
    const image = await daemon.imageOf(await daemon.call('backup.show', { backup: id }));
    const device = run('losetup', '--read-only', '--find', '--show', image);
    await daemon.kill();
    await daemon.start();
    expect(daemon.loopDevices()).not.toContain(device);
    await world.check();
    bystanderIsUntouched();
  },
);
