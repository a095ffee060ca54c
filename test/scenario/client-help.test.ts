/** Help on every level, without a daemon. */

import { expect, test } from 'vitest';
import { runClient } from '../support/client.ts';

const verbs = `volume add, volume list, volume show, volume remove, backup create, backup list, backup show,
  backup delete, backup restore, backup verify, backup copy, backup diff, backup record export, backup record import, mount, unmount, view list, job list, job show, job watch,
  job cancel, repository init, repository add, repository list, repository show, repository remove, repository scan, repository check, repository stats, catalog rebuild, status, service list, service set,
  config show, config check, device list, device show, device attach, device detach, device rescan, device connector, file list, file show, file get,
  file find, file history, file diff, snapshot create, snapshot add, events, completion`.split(/,\s+/);

test.each(verbs)('%s --help has an example, the exit statuses and the global options', async (words) => {
  const { status, stdout, stderr } = await runClient([...words.split(' '), '--help']);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain(`Usage: basaltctl ${words}`);
  expect(stdout).toContain(`  $ basaltctl ${words}`);
  expect(stdout).toMatch(/Exit status:\n +0 {2}done\n/);
  expect(stdout).toContain('--socket');
});

test.each([
  'volume',
  'backup',
  'view',
  'job',
  'repository',
  'catalog',
  'service',
  'config',
  'device',
  'file',
  'snapshot',
])('%s --help lists its verbs', async (noun) => {
  const { status, stdout } = await runClient([noun, '--help']);
  expect(status).toBe(0);
  for (const words of verbs.filter((one) => one.startsWith(`${noun} `))) {
    expect(stdout).toMatch(new RegExp(`^ +${words.split(' ')[1]}\\b`, 'm'));
  }
});

test('--help lists every noun and the first steps', async () => {
  const { status, stdout } = await runClient(['--help']);
  expect(status).toBe(0);
  for (const words of verbs) expect(stdout).toMatch(new RegExp(`^ +${words.split(' ')[0]}\\b`, 'm'));
  expect(stdout).toContain('$ basaltctl backup create');
});

test('the lines of a help are folded to one width, whatever those of its source are', async () => {
  const { stdout } = await runClient(['mount', '--help']);
  const [paragraph = ''] = /^Read-only\.[^]*?(?=\n\n)/m.exec(stdout) ?? [];
  const lines = paragraph.split('\n').slice(0, -1);
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) expect(line.length).toBeGreaterThan(70);
});

test('a connection_info that is not there is told of before a daemon is looked for', async () => {
  expect(await runClient(['volume', 'add', 'shop', '@/none/info.json'])).toEqual({
    status: 64,
    stdout: '',
    stderr:
      'Cannot read a connection_info from "/none/info.json": there is no such file\nRun the command with --help to see how it is used\n',
  });
});

test('--version prints the version on stdout', async () => {
  expect(await runClient(['--version'])).toEqual({ status: 0, stdout: 'basaltctl 0.1.0\n', stderr: '' });
});
