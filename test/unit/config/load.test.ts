import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../../daemon/base/bytes.ts';
import type { Fault } from '../../../daemon/base/faults.ts';
import { loadSettings, type SettingsSources } from '../../../daemon/config/load.ts';
import { showSettings } from '../../../daemon/config/render.ts';

async function settingsFile(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-config-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'basaltd.toml');
  await writeFile(path, text);
  return path;
}

async function load(text: string, flags: SettingsSources['flags'] = {}) {
  const file = await settingsFile(text);
  return { file, ...(await loadSettings({ file, flags })) };
}

async function problemsOf(text: string, flags: SettingsSources['flags'] = {}): Promise<string[]> {
  const fault = await load(text, flags).then(
    () => undefined,
    (thrown: unknown) => thrown as Fault,
  );
  expect(fault?.code).toBe('CONFIG_INVALID');
  return (fault?.details?.['problems'] as string[] | undefined) ?? [fault?.message ?? ''];
}

test('without a file and flags every setting has its default and says so', async () => {
  const { values, origins } = await load('');
  expect(values).toEqual({
    state_dir: '/var/lib/basalt',
    socket: '/run/basalt/basaltd.sock',
    repository: 'file:///var/lib/basalt/repository',
    view_dir: '/var/lib/basalt/view',
    restore_dir: '/var/lib/basalt/restored',
    memory_limit: 256 * MiB,
    max_operations: 15,
    event_command: null,
    event_timeout: 30,
    enable_progress_timer: true,
    progress_interval: 120,
    quota_backups: -1,
    quota_backup_gigabytes: -1,
    offload_recovery: true,
    checkpoint_interval: 10,
    resume_patience: 3600,
    read_rate: 0,
    write_rate: 0,
    io_priority: 'none',
    compression_level: 1,
    view_allow_other: false,
    view_owners: 'image',
    use_multipath: true,
    enforce_multipath: false,
    multipath_paths_min: 1,
    num_volume_device_scan_tries: 3,
    attach_timeout: 180,
    cinder_cache_bytes: 4096 * MiB,
    block_bytes: 65536,
    availability_zone: 'nova',
    list_limit: 1000,
    repository_check_interval: 60,
    admin_group: 'basalt',
    project_grants: [],
    log_level: 'info',
    lvm_snapshot_percent: 100,
    lvm_keep_snapshots: false,
    lvm_pool_limit: 90,
    freeze_command: null,
    thaw_command: null,
    hook_timeout: 60,
  });
  expect(new Set(Object.values(origins))).toEqual(new Set(['default']));
});

test('with another state_dir everything that lives in it moves along', async () => {
  const { values } = await load('', { state_dir: '/srv/b/' });
  expect(values).toMatchObject({
    state_dir: '/srv/b',
    socket: '/srv/b/basaltd.sock',
    repository: 'file:///srv/b/repository',
    view_dir: '/srv/b/view',
    restore_dir: '/srv/b/restored',
  });
});

test('a flag goes before the file, the file before the default, and each value tells its origin', async () => {
  const { file, values, origins } = await load(
    'memory_limit = "1GiB"\nsocket = "/tmp/file.sock"\nview_dir = "none"\nproject_grants = ["uid:1000=a, b"]',
    { socket: '/tmp/flag.sock' },
  );
  expect(values).toMatchObject({ memory_limit: 1024 * MiB, socket: '/tmp/flag.sock', view_dir: null });
  expect(values.project_grants).toEqual([{ kind: 'uid', id: 1000, projects: ['a', 'b'] }]);
  expect(origins).toMatchObject({
    memory_limit: `file ${file}`,
    socket: 'flag --socket',
    max_operations: 'default',
  });
  const shown = new Map(showSettings({ values, origins }).map((row) => [row.name, row.value]));
  expect(shown.get('memory_limit')).toBe('1GiB');
  expect(shown.get('view_dir')).toBe('none');
  expect(shown.get('project_grants')).toBe('uid:1000=a,b');
});

test('a relative path is fine as a flag and a mistake in a file', async () => {
  const { values } = await load('', { state_dir: 'here', repository: 'repo', view_dir: 'none' });
  expect(values.state_dir).toBe(join(process.cwd(), 'here'));
  expect(values.repository).toBe(`file://${join(process.cwd(), 'repo')}`);
  expect(values.view_dir).toBeNull();
  expect(await problemsOf('state_dir = "here"')).toEqual([
    expect.stringMatching(/^Cannot use "here" for state_dir \(file .*\): it must be an absolute path$/),
  ]);
});

test('all mistakes of a file are found at once, and a mistyped name gets the nearest known one', async () => {
  const problems = await problemsOf(
    'memory_limt = 1\nmax-operations = 3\nzzz = 1\nlog_level = "loud"\nblock_bytes = 5',
  );
  expect(problems).toHaveLength(5);
  expect(problems[0]).toMatch(/"memory_limt".*did you mean "memory_limit"\?/);
  expect(problems[1]).toMatch(/"max-operations".*did you mean "max_operations"\?/);
  expect(problems[2]).toMatch(/"zzz".*there is no such setting$/);
  expect(problems[3]).toMatch(/"5" for block_bytes.*one of 16384, /);
  expect(problems[4]).toMatch(/"loud" for log_level.*one of fatal, error/);
});

test.each([
  ['memory_limit = "63MiB"', /64MiB/],
  ['memory_limit = -1', /64MiB/],
  ['memory_limit = "lots"', /a size/],
  ['memory_limit = true', /a size/],
  ['max_operations = -1', /from 0 to 1000/],
  ['max_operations = 1.5', /whole number/],
  ['compression_level = 20', /from 0 to 19/],
  ['project_grants = ["alice=x"]', /uid:1000/],
  ['project_grants = ["uid:1000="]', /uid:1000/],
  ['project_grants = "uid:1000=x"', /uid:1000/],
  ['repository = "not a url"', /a URL/],
  ['repository = "file://host/x"', /a URL/],
  ['admin_group = "a b"', /group/],
  ['view_dir = ""', /absolute path/],
  ['[table]\nx = 1', /no such setting/],
])('%s is refused', async (text, why) => {
  expect(await problemsOf(text)).toEqual([expect.stringMatching(why)]);
});

test('a file that is no TOML is refused with its line', async () => {
  expect(await problemsOf('state_dir = "/x"\nsocket = = 3')).toEqual([
    expect.stringMatching(/line 2, column \d+/),
  ]);
});

test('a named file that is missing is refused; the default file may be missing', async () => {
  await expect(loadSettings({ file: '/nonexistent/basaltd.toml' })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('ENOENT') as string,
  });
});
