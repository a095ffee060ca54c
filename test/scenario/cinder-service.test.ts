/** What operators see of the service itself: up or down, enabled or disabled, and why a job failed. */

import { mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FaultCode } from '../../daemon/base/faults.ts';
import type { JobValue } from '../../daemon/protocol/values.ts';
import { Daemon, eventually } from '../support/daemon.ts';
import { underWay } from '../support/fault-world.ts';

let folder: string;
let daemon: Daemon;
const MiB = 2 ** 20;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'basalt-service-'));
  writeFileSync(join(folder, 'web.img'), Buffer.alloc(MiB, 3));
  daemon = await Daemon.start({ settings: 'repository_check_interval = 5\navailability_zone = "az-1"\n' });
  await daemon.addVolume('web', join(folder, 'web.img'));
});

afterAll(async () => {
  await daemon.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const listed = async () => {
  const ended = await daemon.basaltctl('service', 'list', '-f', 'json');
  expect([ended.status, ended.stderr]).toEqual([0, '']);
  const [service] = JSON.parse(ended.stdout) as Record<string, unknown>[];
  return service;
};

test('service list has the columns of openstack and the state of the repository', async () => {
  const table = await daemon.basaltctl('service', 'list');
  expect(table.stdout.split('\n')[1]).toMatch(
    /^\| Binary +\| Host +\| Zone +\| Status +\| State +\| Updated At +\| Repository +\| Reason +\|$/,
  );
  const service = await listed();
  expect(service).toMatchObject({
    binary: 'basaltd',
    host: hostname(),
    zone: 'az-1',
    status: 'enabled',
    state: 'up',
    repository: 'default',
    reason: '',
    disabled_reason: '',
  });
  expect(Math.abs(Date.now() - Date.parse(String(service?.['updated_at'])))).toBeLessThan(30_000);
});

test('a repository that goes away takes the service down with its reason, and one that comes back is used again unasked', async () => {
  const before = await listed();
  renameSync(daemon.repositoryDir, `${daemon.repositoryDir}.away`);
  const down = await listed();
  expect(down).toMatchObject({ state: 'down', status: 'enabled', updated_at: expect.any(String) });
  expect(String(down?.['reason'])).toContain(`"file://${daemon.repositoryDir}"`);
  expect(String(down?.['updated_at']) <= new Date().toISOString()).toBe(true);
  const job = await daemon.basaltctl('backup', 'create', 'web', '--wait');
  expect(job.status).toBe(66);
  renameSync(`${daemon.repositoryDir}.away`, daemon.repositoryDir);
  const up = await listed();
  expect(up).toMatchObject({ state: 'up', reason: '' });
  expect(String(up?.['updated_at']) > String(before?.['updated_at'])).toBe(true);
});

test('a daemon that starts without its repository is down, and up by itself when it is there', async () => {
  const repository = join(folder, 'later');
  const late = await Daemon.start({ repository, init: false, settings: 'repository_check_interval = 5\n' });
  try {
    expect((await late.call('service.list', {})).services[0]).toMatchObject({
      state: 'down',
      updated_at: null,
    });
    const other = await Daemon.start({ repository });
    await other.dispose();
    // Nobody asks for the repository: the log says that the daemon found it.
    await eventually('the heartbeat finds it', async () => {
      const { services } = await late.call('service.list', {});
      return services[0]?.state === 'up';
    });
  } finally {
    await late.dispose();
  }
});

test('a locked repository is up, and says that it is locked', async () => {
  const lock = join(daemon.repositoryDir, 'locks', 'exclusive.json');
  mkdirSync(dirname(lock), { recursive: true });
  writeFileSync(lock, '{}');
  try {
    const service = await listed();
    expect(service?.['state']).toBe('up');
    expect(String(service?.['reason'])).toContain('another host has locked it');
  } finally {
    rmSync(lock);
  }
});

test('a disabled service refuses new backups with its reason, restores all the same, and stays so over a restart', async () => {
  const backup = await daemon.backUp('web');
  const set = await daemon.basaltctl(
    'service',
    'set',
    '--disable',
    '--disable-reason',
    'new disks',
    '-f',
    'json',
  );
  expect([set.status, JSON.parse(set.stdout)]).toMatchObject([0, [{ status: 'disabled', state: 'up' }]]);
  await daemon.stop();
  await daemon.start();
  expect(await listed()).toMatchObject({ status: 'disabled', disabled_reason: 'new disks' });
  const refused = await daemon.basaltctl('backup', 'create', 'web');
  expect([refused.status, refused.stdout]).toEqual([75, '']);
  expect(refused.stderr).toContain(`Cannot back up on host "${hostname()}": it is disabled: new disks`);
  await daemon.done(daemon.call('backup.restore', { backup: backup.id, target: join(folder, 'out.img') }));
  expect((await daemon.basaltctl('service', 'set', '--enable')).status).toBe(0);
  expect(await listed()).toMatchObject({ status: 'enabled', disabled_reason: '' });
  await daemon.backUp('web');
});

test.each([[[]], [['--enable', '--disable']], [['--enable', '--disable-reason', 'x']]])(
  'service set %j is a mistake of usage',
  async (words) => {
    const { status, stdout } = await daemon.basaltctl('service', 'set', ...words);
    expect([status, stdout]).toEqual([64, '']);
  },
);

/** Ways in which a job fails, each with the code that it must have. */
const failures: readonly (readonly [code: FaultCode, start: () => Promise<string>])[] = [
  [
    'CANCELLED',
    async () => {
      const { job_id } = await daemon.call('backup.create', { volume: 'web', rate: 1 });
      await daemon.call('job.cancel', { job: job_id });
      return job_id;
    },
  ],
  [
    'FOUND_DAMAGE',
    async () => {
      const backup = await daemon.backUp('web');
      truncateSync(join(daemon.repositoryDir, 'manifests', `${backup.id}.json`), 50);
      return (await daemon.call('repository.check', {})).job_id;
    },
  ],
  [
    'SOURCE_CHANGED',
    async () => {
      const path = join(folder, 'shrinks.img');
      writeFileSync(path, Buffer.alloc(16 * MiB, 1));
      await daemon.addVolume('shrinks', path);
      const { job_id } = await daemon.call('backup.create', { volume: 'shrinks', rate: 2 * MiB });
      await underWay(daemon, job_id);
      truncateSync(path, 4096);
      return job_id;
    },
  ],
];

test.each(failures)('a job that fails with %s says so in one sentence with a hint', async (code, start) => {
  const id = await start();
  expect((await daemon.ended(id)).fault?.code).toBe(code);
  const json = await daemon.basaltctl('job', 'show', id, '-f', 'json');
  const { status, fault } = JSON.parse(json.stdout) as JobValue;
  expect(status).toBe(code === 'CANCELLED' ? 'cancelled' : 'failed');
  expect(fault).toMatchObject({ code, message: expect.stringMatching(/^[A-Z][^\n]*"[^\n]*[^.\n]$/) });
  expect(fault?.hint).toMatch(/^[A-Z][^\n]+$/);
  const table = await daemon.basaltctl('job', 'show', id);
  for (const field of ['fault.code', 'fault.message', 'fault.hint'])
    expect(table.stdout).toMatch(new RegExp(`^\\| ${field} +\\| \\S`, 'm'));
});
