/** The way from a cinder.conf to a daemon that runs with what it says. */

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';

const daemonMain = fileURLToPath(new URL('../../dist/daemon/main.js', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'basalt-conf-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const basaltd = (...words: string[]): Promise<{ status: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [daemonMain, ...words], { timeout: 20_000 }, (error, stdout, stderr) =>
      resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });

const cinderConf = (...lines: string[]): string => {
  const path = join(folder, 'cinder.conf');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
};

test('config import prints a file that config check takes, and that the daemon then follows', async () => {
  const conf = cinderConf(
    '[DEFAULT]',
    'enabled_backends = lvm',
    'backup_driver = cinder.backup.drivers.posix.PosixBackupDriver',
    'backup_max_operations = 3',
    'storage_availability_zone = az-3',
    'osapi_max_limit = 2',
    'quota_backups = 3',
    'transport_url = rabbit://user:hunter2@controller',
    '[lvm]',
    'volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver',
  );
  const printed = await basaltd('config', 'import', conf);
  expect(printed.status).toBe(0);
  expect(printed.stderr).toBe('Took 5 settings over and left 2 options out: the comments say why\n');
  expect(printed.stdout).not.toContain('hunter2');
  const file = join(folder, 'basaltd.toml');
  writeFileSync(file, printed.stdout);
  expect(await basaltd('config', 'check', file)).toEqual({
    status: 0,
    stdout: 'The settings can be used\n',
    stderr: '',
  });

  const daemon = await Daemon.start({ settings: printed.stdout });
  try {
    const source = join(folder, 'volume.img');
    writeFileSync(source, Buffer.alloc(65_536, 7));
    await daemon.addVolume('web', source);
    const made = [await daemon.backUp('web'), await daemon.backUp('web'), await daemon.backUp('web')];
    expect(made.map(({ availability_zone }) => availability_zone)).toEqual(['az-3', 'az-3', 'az-3']);
    const page = await daemon.call('backup.list', { limit: 1000 });
    expect(page.backups.map(({ id }) => id)).toEqual([made[2]?.id, made[1]?.id]);
    const next = await daemon.call('backup.list', { limit: 1000, marker: page.next_marker ?? '' });
    expect(next.backups.map(({ id }) => id)).toEqual([made[0]?.id]);
    const over = await daemon.basaltctl('backup', 'create', 'web');
    expect(over.status).toBe(75);
    const { settings } = await daemon.call('config.show', {});
    expect(settings.find(({ name }) => name === 'max_operations')).toMatchObject({ value: 3 });
  } finally {
    await daemon.dispose();
  }
});

test('a repository is made beside what Cinder keeps in its folder, and nothing of that is touched', async () => {
  const backups = join(folder, 'backups');
  const container = join(backups, '0b', '2a');
  mkdirSync(container, { recursive: true });
  writeFileSync(join(container, 'volume_x-00001'), 'of Cinder');
  const driver = 'backup_driver = cinder.backup.drivers.posix.PosixBackupDriver';
  const conf = cinderConf('[DEFAULT]', driver, `backup_posix_path = ${backups}`);
  const { repository } = parse((await basaltd('config', 'import', conf)).stdout);
  const daemon = await Daemon.start({ repository: typeof repository === 'string' ? repository : '' });
  try {
    const source = join(folder, 'beside.img');
    writeFileSync(source, Buffer.alloc(4096, 9));
    await daemon.addVolume('web', source);
    await daemon.backUp('web');
    expect(readdirSync(backups).sort()).toEqual(['0b', 'basalt']);
    expect(readdirSync(container)).toEqual(['volume_x-00001']);
  } finally {
    await daemon.dispose();
  }
});

test('a backup may name another zone than the one of the host', async () => {
  const daemon = await Daemon.start();
  try {
    const source = join(folder, 'zone.img');
    writeFileSync(source, Buffer.alloc(4096, 1));
    await daemon.addVolume('web', source);
    const plain = await daemon.call('backup.create', { volume: 'web' });
    expect(plain.backup.availability_zone).toBe('nova');
    await daemon.ended(plain.job_id);
    const named = await daemon.basaltctl(
      'backup',
      'create',
      'web',
      '--availability-zone',
      'az-9',
      '--wait',
      '-f',
      'json',
    );
    expect(JSON.parse(named.stdout)).toMatchObject({ availability_zone: 'az-9' });
  } finally {
    await daemon.dispose();
  }
});

test.each([
  ['a file that is not there', () => join(folder, 'none.conf'), /none.conf": ENOENT/],
  ['a folder', () => folder, /EISDIR/],
  ['a file without an end', () => '/dev/zero', /larger than 1 MiB/],
  ['a broken file', () => cinderConf('[DEFAULT]', 'backup_driver'), /line 2: an option is written as/],
])('config import of %s ends with status 78 and prints no file', async (_, path, sentence) => {
  const { status, stdout, stderr } = await basaltd('config', 'import', path());
  expect([status, stdout]).toEqual([78, '']);
  expect(stderr).toMatch(sentence);
});
