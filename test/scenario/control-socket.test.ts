/** The life of the control socket: made, taken over, refused, closed; and who may do what over it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ServerParts } from '../../daemon/control/server.ts';
import { native } from '../../native/native.ts';
import { fakeJob, temporaryFolder, testServer } from '../support/control-server.ts';
import { RawClient } from '../support/raw-client.ts';

const job = fakeJob();
const answering = { 'job.show': () => Promise.resolve(job) };

test('the socket is open to its owner and the admin group only, and nothing lies beside it', async () => {
  const folder = await temporaryFolder();
  const groupFile = join(folder, 'group');
  await writeFile(groupFile, 'root:x:0:\nstaff:x:54321:someone\n');
  const path = join(folder, 'run', 'b.sock');
  await testServer({}, { socketPath: path, adminGroup: 'staff', groupFile });
  const made = await lstat(path);
  expect(made.isSocket()).toBe(true);
  expect(made.mode & 0o777).toBe(0o660);
  expect([made.uid, made.gid]).toEqual([process.getuid?.(), 54321]);
  expect(await readdir(dirname(path))).toEqual(['b.sock']);
});

/** A process that bound the path and was killed, so that its socket file is left. */
async function leaveSocket(path: string): Promise<void> {
  const dead = spawn('python3', [
    '-c',
    'import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()',
    path,
  ]);
  await once(dead, 'exit');
  expect((await lstat(path)).isSocket()).toBe(true);
}

test('the socket that a dead daemon left is taken over', async () => {
  const path = join(await temporaryFolder(), 'b.sock');
  await leaveSocket(path);
  await testServer(answering, { socketPath: path });
  const client = await RawClient.greeted(path);
  expect(await client.call(1, 'job.show', { job: job.id })).toMatchObject({ result: job });
});

test('the socket of a live daemon is left alone', async () => {
  const first = await testServer(answering);
  await expect(testServer({}, { socketPath: first.path })).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  const client = await RawClient.greeted(first.path);
  expect(await client.call(1, 'job.show', { job: job.id })).toMatchObject({ result: job });
});

test('a file at the path of the socket is not removed', async () => {
  const path = join(await temporaryFolder(), 'b.sock');
  await writeFile(path, 'precious');
  await expect(testServer({}, { socketPath: path })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  expect((await lstat(path)).size).toBe(8);
});

test('closing removes the socket, but not the one that another daemon has put there since', async () => {
  const first = await testServer({});
  await first.close();
  await expect(lstat(first.path)).rejects.toMatchObject({ code: 'ENOENT' });

  const second = await testServer({}, { socketPath: first.path });
  const other = createServer().listen(`${first.path}.other`);
  await once(other, 'listening');
  await rename(`${first.path}.other`, first.path);
  await second.close();
  expect((await lstat(first.path)).isSocket()).toBe(true);
  other.close();
});

test('closing answers what is under way, and takes nothing new', async () => {
  let finish: () => void = () => undefined;
  const server = await testServer({
    'job.watch': () => new Promise((resolve) => (finish = () => resolve(job))),
  });
  const client = await RawClient.greeted(server.path);
  client.send({ id: 1, method: 'job.watch', params: { job: job.id } });
  await client.call(2, 'job.list');
  const closing = server.close(60_000);
  let refused = await client.call(3, 'status');
  for (let id = 4; refused?.error?.code !== 'DAEMON_STOPPING'; id += 1)
    refused = await client.call(id, 'status');
  finish();
  expect(await client.ended()).toMatchObject([{ id: 1, result: job }]);
  await closing;
});

test('what does not end in the time of grace is told that the daemon is stopping', async () => {
  const server = await testServer({ 'job.watch': () => new Promise(() => undefined) });
  const client = await RawClient.greeted(server.path);
  client.send({ id: 1, method: 'job.watch', params: { job: job.id } });
  await client.call(2, 'job.list');
  await server.close(20);
  expect(await client.ended()).toMatchObject([{ id: 1, error: { code: 'DAEMON_STOPPING' } }]);
});

/** Rights over a real socket, with the kernel's word replaced: tests run as root. */
const as = (uid: number, gid: number, groups: number[] = []) => ({
  native: {
    peerCredentials: (fd: number) => ({ ...native.peerCredentials(fd), uid, gid }),
    groupsOf: () => groups,
  },
});

const volumes = { 'volume.list': () => Promise.resolve({ volumes: [] }) };
const grants = [
  { kind: 'uid', id: 1000, projects: ['alpha'] },
  { kind: 'gid', id: 2000, projects: ['beta'] },
] as const;

const permitted = { result: { volumes: [] } };
const refused = { error: { code: 'NOT_PERMITTED' } };
test.each([
  ['a user', 'alpha', as(1000, 1000), permitted],
  ['a user', 'beta', as(1000, 1000), refused],
  ['a user', undefined, as(1000, 1000), refused],
  ['a member of a granted group', 'beta', as(1001, 1001, [2000]), permitted],
  ['a member of a granted group', 'alpha', as(1001, 1001, [2000]), refused],
  ['a user whose own group is granted', 'beta', as(1001, 2000), permitted],
  ['a stranger', 'alpha', as(1002, 1002), refused],
  ['root', 'gamma', as(0, 0), permitted],
])('%s asks for project %s', async (_who, project, parts, expected) => {
  const server = await testServer(volumes, { ...parts, grants });
  const client = await RawClient.greeted(server.path);
  expect(await client.call(1, 'volume.list', { project })).toMatchObject(expected);
});

test('a member of the admin group administers, others do not, and anybody sees the status', async () => {
  const folder = await temporaryFolder();
  const groupFile = join(folder, 'group');
  await writeFile(groupFile, 'operators:x:3000:\n');
  const handlers = {
    'catalog.rebuild': () => Promise.resolve({ job_id: 'x' }),
    'repository.show': () => Promise.resolve({} as never),
  };
  for (const [gid, expected] of [
    [3000, { result: { job_id: 'x' } }],
    [3001, refused],
  ] as const) {
    const server = await testServer(handlers, { ...as(1000, gid), adminGroup: 'operators', groupFile });
    const client = await RawClient.greeted(server.path);
    expect(await client.call(1, 'catalog.rebuild')).toMatchObject(expected);
    expect(await client.call(2, 'repository.show')).toMatchObject({ result: {} });
  }
});

test('strangers can not take the places of administrators', async () => {
  let uid = 1000;
  const server = await testServer(answering, {
    native: {
      peerCredentials: (fd: number) => ({ ...native.peerCredentials(fd), uid }),
      groupsOf: () => [],
    },
    adminGroup: 'basalt-test-no-such-group',
  });
  for (let code: string | undefined; code !== 'TOO_MANY'; ) {
    const stranger = new RawClient(server.path);
    stranger.send({ id: 0, method: 'hello', params: { client: 'x', major: 1, minor: 0 } });
    code = (await stranger.next())?.error?.code;
  }
  uid = 0;
  const root = await RawClient.greeted(server.path);
  expect(await root.call(1, 'job.show', { job: job.id })).toMatchObject({ result: job });
});

const script = fileURLToPath(new URL('../../docs/list-backups.py', import.meta.url));

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

async function run(command: string, args: string[], socketPath: string): Promise<Ended> {
  const child = spawn(command, args, { env: { ...process.env, BASALT_SOCKET: socketPath } });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, out, err };
}

test('a program in another language lists the backups with what docs/protocol.md says', async () => {
  const rows = ['first', 'zweite – ü', null].map((name, index) => ({
    id: `7d1e55a0-5fb3-4f0c-9c0f-2f6f3f0d3a1${index}`,
    status: 'available',
    size_bytes: 5 * 2 ** 40 + index,
    volume_name: 'web',
    name,
  }));
  const server = await testServer({
    'backup.list': (params) => {
      const at = rows.findIndex((row) => row.id === params.marker) + 1;
      const page = rows.slice(at, at + 2);
      const more = at + 2 < rows.length;
      return Promise.resolve({
        backups: page as never[],
        next_marker: more ? (page.at(-1)?.id ?? null) : null,
      });
    },
  });
  const expected = rows
    .map((row) => [row.id, row.status, row.size_bytes, row.volume_name, row.name ?? '-'].join('\t'))
    .join('\n');
  expect(await run('python3', [script], server.path)).toEqual({ status: 0, out: `${expected}\n`, err: '' });
  expect(await run('python3', [script, server.path, '--project', 'x'.repeat(70)], '/nowhere')).toMatchObject({
    status: 1,
    out: '',
    err: expect.stringContaining('INVALID_ARGUMENT') as string,
  });
});

test('the kernel says who asks: another user is kept out by the socket, and let in for what is granted', async () => {
  const uid = 54321;
  const handlers = { 'backup.list': () => Promise.resolve({ backups: [], next_marker: null }) };
  const program = await readFile(script, 'utf8');
  const ask = async (parts: Partial<ServerParts>, project: string): Promise<Ended> => {
    const server = await testServer(handlers, parts);
    await chmod(dirname(server.path), 0o755);
    const as = [
      '--reuid',
      String(uid),
      '--regid',
      String(uid),
      '--clear-groups',
      '/usr/bin/python3',
      '-c',
      program,
    ];
    return run('setpriv', [...as, '--project', project], server.path);
  };
  const open = { socketMode: 0o666, grants: [{ kind: 'uid', id: uid, projects: ['mine'] }] } as const;
  expect(await ask({}, 'mine')).toMatchObject({
    status: 1,
    err: expect.stringContaining('Permission denied') as string,
  });
  expect(await ask(open, 'mine')).toEqual({ status: 0, out: '', err: '' });
  expect(await ask(open, 'yours')).toMatchObject({
    status: 1,
    err: expect.stringContaining('NOT_PERMITTED') as string,
  });
});
