/** The built client against a daemon with canned answers: exit statuses, errors, formats, what is sent. */

import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { faults } from '../../daemon/protocol/faults.ts';
import { clientMain, clientOnFakeDaemon, runClient } from '../support/client.ts';
import { type Answer, aBackup, aFault, jobId } from '../support/fake-daemon.ts';

const { aFolder, basaltctl, env, fake, paramsOf } = clientOnFakeDaemon();

describe('exit statuses and errors', () => {
  const codes = Object.keys(faults) as (keyof typeof faults)[];
  const statuses = [...new Set(codes.map((code) => faults[code].exit))];
  test.each(statuses)('a fault of exit status %d in the table ends with it', async (exit) => {
    const code = codes.findLast((one) => faults[one].exit === exit) ?? '';
    await fake({ status: (reply) => reply.fault(aFault(code)) });
    const { status, stdout, stderr } = await basaltctl('status');
    expect([status, stdout]).toEqual([exit, '']);
    expect(stderr).toBe(`Cannot do "${code}"\nHint of ${code}\n`);
  });

  test('a fault that only a newer daemon knows ends with 70 and is told all the same', async () => {
    await fake({ status: (reply) => reply.fault(aFault('STARS_MISALIGNED')) });
    const { status, stderr } = await basaltctl('status');
    expect(status).toBe(70);
    expect(stderr).toContain('Cannot do "STARS_MISALIGNED"');
  });

  test('with -f json a fault is one JSON object on stderr and stdout stays empty', async () => {
    await fake({ 'backup.show': (reply) => reply.fault(aFault('BACKUP_UNKNOWN')) });
    const { status, stdout, stderr } = await basaltctl('backup', 'show', 'x', '-f', 'json');
    expect([status, stdout]).toEqual([66, '']);
    expect(JSON.parse(stderr)).toEqual({ error: aFault('BACKUP_UNKNOWN') });
  });

  test('a daemon that is not there is exit status 69 with the socket named and what to do', async () => {
    const { status, stderr } = await basaltctl('status');
    expect(status).toBe(69);
    expect(stderr).toContain('"/nonexistent/basaltd.sock"');
    expect(stderr).toContain('--socket');
  });

  test('a daemon that goes away in the middle of a call is exit status 69', async () => {
    await fake({ status: (reply) => reply.cutOff() });
    expect((await basaltctl('status')).status).toBe(69);
  });

  test('a daemon of another major version is exit status 76', async () => {
    await fake({ hello: (reply) => reply.result({ version: '9.0.0', protocol: { major: 9, minor: 0 } }) });
    const { status, stderr } = await basaltctl('status');
    expect(status).toBe(76);
    expect(stderr).toContain('9.0.0');
  });

  test('an answer that is no frame is exit status 76', async () => {
    await fake({ status: (reply) => reply.raw(Buffer.alloc(64, 0xff)) });
    expect((await basaltctl('status')).status).toBe(76);
  });

  test.each([
    ['an unknown noun', ['bakcup']],
    ['an unknown verb', ['backup', 'crate']],
    ['an unknown option', ['backup', 'list', '--shade']],
    ['a missing argument', ['backup', 'show']],
    ['an argument too many', ['backup', 'show', 'a', 'b']],
    ['a missing verb', ['backup']],
    ['nothing at all', []],
    ['a format that does not exist', ['status', '-f', 'xml']],
    ['a property without a value', ['backup', 'create', 'web', '--property', 'reason']],
    ['a property that no message can carry', ['backup', 'create', 'web', '--property', '__proto__=1']],
    ['a limit that is no number', ['backup', 'list', '--limit', 'many']],
    ['a block size that is no size', ['repository', 'init', '--block-size', 'large']],
    ['a partition of zero', ['mount', 'x', '/mnt', '--partition', '0']],
  ])('%s is exit status 64 and needs no daemon', async (_, words) => {
    const { status, stdout, stderr } = await basaltctl(...words);
    expect([status, stdout]).toEqual([64, '']);
    expect(stderr).not.toBe('');
  });

  test('a usage error is JSON too where JSON is asked for', async () => {
    const { status, stderr } = await basaltctl('backup', 'list', '--shade', '-f', 'json');
    expect(status).toBe(64);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'USAGE', message: 'Unknown option "--shade"' },
    });
  });

  test('a column that does not exist is exit status 64 and names the ones that do', async () => {
    await fake({ 'backup.list': (reply) => reply.result({ backups: [], next_marker: null }) });
    const { status, stderr } = await basaltctl('backup', 'list', '-c', 'Colour');
    expect(status).toBe(64);
    expect(stderr).toContain('stored_bytes');
  });
});

describe('output', () => {
  const oneBackup: Answer = (reply) => reply.result({ backups: [aBackup()], next_marker: null });

  test('backup list draws the columns of openstackclient with sizes that people read', async () => {
    await fake({ 'backup.list': oneBackup });
    const { status, stdout } = await basaltctl('backup', 'list');
    expect(status).toBe(0);
    const [, head, , row] = stdout.split('\n');
    expect(head?.split('|').map((cell) => cell.trim())).toEqual([
      '',
      'ID',
      'Name',
      'Description',
      'Status',
      'Size',
      'Incremental',
      'Created At',
      '',
    ]);
    expect(row).toContain('| 1.5 GiB |');
  });

  test('backup list --long adds the zone, the volume, the container and the parent', async () => {
    await fake({ 'backup.list': oneBackup });
    const { stdout } = await basaltctl('backup', 'list', '--long');
    for (const title of ['Availability Zone', 'Volume', 'Container', 'Parent'])
      expect(stdout).toContain(title);
  });

  test('JSON holds whole values with exact bytes under the keys of the protocol', async () => {
    await fake({ 'backup.list': oneBackup });
    const { stdout } = await basaltctl('backup', 'list', '-f', 'json');
    expect(JSON.parse(stdout)).toEqual([aBackup()]);
  });

  test('the format comes from the environment where no option names it, and the option wins', async () => {
    await fake({ 'backup.list': oneBackup });
    const inJson = { ...env(), BASALT_OUTPUT_FORMAT: 'json' };
    expect((await runClient(['backup', 'list'], { env: inJson })).stdout).toContain(
      '"size_bytes": 1610612736',
    );
    expect((await runClient(['backup', 'list', '-f', 'csv'], { env: inJson })).stdout).toMatch(/^id,name,/);
  });

  test('-c selects and orders columns by title or by key, in lists', async () => {
    await fake({ 'backup.list': oneBackup });
    const { stdout } = await basaltctl(
      'backup',
      'list',
      '-f',
      'value',
      '-c',
      'Created At',
      '-c',
      'size_bytes',
      '-c',
      'name',
    );
    expect(stdout).toBe('2026-01-02T03:04:05.000Z 1610612736 nightly\n');
  });

  test('-c selects and orders fields of one value', async () => {
    await fake({ 'backup.show': (reply) => reply.result(aBackup()) });
    const { stdout } = await basaltctl(
      '-f',
      'json',
      '-c',
      'status',
      '-c',
      'Name',
      'backup',
      'show',
      'nightly',
    );
    expect(stdout).toBe('{\n  "status": "available",\n  "name": "nightly"\n}\n');
  });

  test('a further page is announced on stderr, with the marker to go on with', async () => {
    await fake({ 'backup.list': (reply) => reply.result({ backups: [aBackup()], next_marker: 'abc' }) });
    const { stdout, stderr } = await basaltctl('backup', 'list', '-f', 'json');
    expect(JSON.parse(stdout)).toHaveLength(1);
    expect(stderr).toContain('--marker abc');
  });

  test.each(['table', 'json', 'yaml', 'csv', 'value'])(
    'no control character of a name reaches %s output',
    async (format) => {
      const name = 'evil\u001b]0;owned\u0007\u009b31m\u202e\rname';
      await fake({ 'backup.show': (reply) => reply.result(aBackup({ name })) });
      const { status, stdout } = await basaltctl('backup', 'show', 'x', '-f', format);
      expect(status).toBe(0);
      expect(stdout).toContain('evil');
      expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
      if (format === 'json') expect(JSON.parse(stdout)).toMatchObject({ name });
    },
  );

  test('no control character of a fault reaches the terminal', async () => {
    await fake({ status: (reply) => reply.fault(aFault('BACKUP_UNKNOWN', 'Cannot find "\u001b[2J"')) });
    expect((await basaltctl('status')).stderr).toContain('Cannot find "\\x1b[2J"');
  });

  test('config show tells where a setting comes from only with --origin', async () => {
    const settings = [{ name: 'memory_limit', value: '256MiB', origin: 'default', about: 'Bound' }];
    await fake({ 'config.show': (reply) => reply.result({ settings }) });
    expect((await basaltctl('config', 'show', '-f', 'value')).stdout).toBe('memory_limit 256MiB\n');
    expect((await basaltctl('config', 'show', '--origin', '-f', 'value')).stdout).toBe(
      'memory_limit 256MiB default\n',
    );
  });

  test('status reaches into nested values with a dot', async () => {
    await fake({ status: (reply) => reply.result({ pid: 7, memory: { limit_bytes: 268_435_456 } }) });
    expect((await basaltctl('status')).stdout).toMatch(/memory\.limit_bytes +\| 256\.0 MiB/);
    expect((await basaltctl('status', '-f', 'value', '-c', 'memory.limit_bytes')).stdout).toBe('268435456\n');
  });
});

describe('what is sent', () => {
  test('options that were not given are left to the daemon, also the project', async () => {
    await fake({ 'backup.create': (reply) => reply.result({ backup: aBackup(), job_id: jobId }) });
    await basaltctl('backup', 'create', 'web');
    expect(paramsOf('backup.create')).toEqual({ volume: 'web' });
  });

  test('every option of backup create arrives', async () => {
    await fake({ 'backup.create': (reply) => reply.result({ backup: aBackup(), job_id: jobId }) });
    const words = `backup create web --incremental --force --name n --description d --property a=1 --property b=x=y
      --container c --availability-zone z --project p -f json`;
    const { status, stdout } = await basaltctl(...words.split(/\s+/));
    expect(status).toBe(0);
    expect(paramsOf('backup.create')).toEqual({
      volume: 'web',
      incremental: true,
      force: true,
      name: 'n',
      description: 'd',
      properties: { a: '1', b: 'x=y' },
      container: 'c',
      availability_zone: 'z',
      project: 'p',
    });
    expect(Object.keys(JSON.parse(stdout) as object)).toEqual(['id', 'name', 'volume_id', 'job_id']);
  });

  test('--no-incremental is sent as it was said', async () => {
    await fake({ 'backup.create': (reply) => reply.result({ backup: aBackup(), job_id: jobId }) });
    await basaltctl('backup', 'create', 'web', '--no-incremental');
    expect(paramsOf('backup.create')).toEqual({ volume: 'web', incremental: false });
  });

  test('a relative path of a source becomes absolute, a URL does not', async () => {
    const daemon = await fake({ 'volume.add': (reply) => reply.result({}) });
    const cwd = aFolder();
    for (const source of ['images/a.img', './a.img', 'a.img', 'file:///x/a.img', '/x/a.img']) {
      await runClient(['volume', 'add', 'web', source], { cwd, env: env() });
    }
    const sources = daemon.calls
      .filter((call) => call.method === 'volume.add')
      .map((call) => call.params['source']);
    expect(sources).toEqual([
      `${cwd}/images/a.img`,
      `${cwd}/a.img`,
      `${cwd}/a.img`,
      'file:///x/a.img',
      '/x/a.img',
    ]);
  });
});

test('a reader that leaves early is no error', async () => {
  const backups = Array.from({ length: 500 }, () => aBackup());
  await fake({
    'backup.list': (reply) => reply.result({ backups, next_marker: null }),
  });
  const words = ['-o', 'pipefail', '-c', `"${process.execPath}" "${clientMain}" backup list | head -n 1`];
  const { status, stderr } = await runClient(words, {
    program: ['bash'],
    env: env(),
  });
  expect([status, stderr]).toEqual([0, '']);
});

test('config check hands on what basaltd says of the file, and its exit status', async () => {
  const folder = aFolder();
  const dist = dirname(dirname(clientMain));
  for (const part of ['client', 'daemon/protocol', 'daemon/base']) {
    cpSync(join(dist, part), join(folder, 'dist', part), { recursive: true });
  }
  for (const name of ['package.json', 'node_modules'])
    symlinkSync(join(dist, '..', name), join(folder, name));
  const stub = "console.log(process.argv.slice(2).join(' ')); console.error('bad'); process.exitCode = 78;";
  writeFileSync(join(folder, 'dist/daemon/main.js'), stub);
  const program = [process.execPath, join(folder, 'dist/client/main.js')];
  const ended = await runClient(['config', 'check', 'my.toml'], { program });
  expect(ended).toEqual({ status: 78, stdout: 'config check --config my.toml\n', stderr: 'bad\n' });
});
