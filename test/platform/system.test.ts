/** What the addon tells of the system, against real sockets and the real user database. */

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { open } from 'lmdb';
import { expect, onTestFinished, test } from 'vitest';
import { native } from '../../native/native.ts';
import { folderForTest, run } from '../support/devices.ts';

const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { _handle: { fd: number } })._handle.fd;

test('the other end of a socket is known by process, user and group', async () => {
  const path = join(folderForTest(), 'socket');
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const script = `import os, socket, sys
os.setgid(65533); os.setuid(65532)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)`;
  run('chmod', '-R', 'a+rwx', join(path, '..'));
  const child = spawn('/usr/bin/python3', ['-c', script, path], { stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const socket = await accepted;
  expect(native.peerCredentials(descriptorOf(socket))).toEqual({ pid: child.pid, uid: 65532, gid: 65533 });
  socket.destroy();
  server.close();
});

test('what is no socket has no other end', () => {
  const fd = openSync('/dev/null', 'r');
  onTestFinished(() => closeSync(fd));
  expect(() => native.peerCredentials(fd)).toThrow(expect.objectContaining({ code: 'ENOTSOCK' }));
});

test('what another process has open for writing is found by inode, and only that', async () => {
  const [written, read] = [join(folderForTest(), 'written'), join(folderForTest(), 'read')];
  for (const path of [written, read]) writeFileSync(path, 'x');
  const script =
    'import sys; a = open(sys.argv[1], "r+b"); b = open(sys.argv[2], "rb"); print(a.fileno(), flush=True); sys.stdin.read()';
  const child = spawn('/usr/bin/python3', ['-c', script, written, read], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const number = await new Promise<string>((resolve) => createInterface(child.stdout).once('line', resolve));
  const holdersOf = (path: string) => native.writableDescriptors(String(statSync(path).ino));
  expect(await holdersOf(written)).toEqual([`${child.pid}/fd/${number}`]);
  expect(await holdersOf(read)).toEqual([]);
  expect(await native.writableDescriptors(undefined)).not.toContain(`${child.pid}/fd/${number}`);
  const own = openSync(read, 'r+');
  onTestFinished(() => closeSync(own));
  expect(await holdersOf(read)).toEqual([]);
});

test('what a mapped file holds in memory is let go of, also where its path leads through a link', async () => {
  const folder = folderForTest();
  const path = join(folder, 'data.mdb');
  symlinkSync(folder, join(folder, 'link'));
  const store = open<Buffer, number>({ path, noSubdir: true, mapSize: 2 ** 28 });
  for (let key = 0; key < 16_000; key += 1) void store.put(key, Buffer.alloc(1000, key));
  await store.flushed;
  const resident = (): number => {
    const [, lines = ''] = readFileSync('/proc/self/smaps', 'utf8').split(`${path}\n`);
    return Number(/^Rss:\s+(\d+) kB$/m.exec(lines)?.[1]) * 1024;
  };
  const readAll = () => [...store.getRange()].reduce((sum, { value }) => sum + value.length, 0);
  expect(readAll()).toBe(16_000_000);
  expect(resident()).toBeGreaterThan(15_000_000);
  native.releaseMapped(join(folder, 'link', 'data.mdb'));
  expect(resident()).toBe(0);
  expect(readAll()).toBe(16_000_000);
  await store.close();
});

test('the groups of a user are those that id(1) shows, and an unknown user has none', () => {
  for (const name of ['root', 'daemon', 'nobody']) {
    const uid = Number(run('id', '-u', name));
    const groups = run('id', '-G', name).split(' ').map(Number);
    expect(new Set(native.groupsOf(uid))).toEqual(new Set(groups));
  }
  expect(native.groupsOf(3_999_999_999)).toEqual([]);
});

test.each(['path', 'abstract'])(
  'a notification arrives whole at a socket with a name of the kind: %s',
  async (kind) => {
    const place = join(folderForTest(), 'notify');
    const path = kind === 'path' ? place : `@${place}`;
    const script = `import socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + name[1:] if name[0] == "@" else name)
print("ready", flush=True)
print(repr(s.recv(65536)), flush=True)`;
    const child = spawn('/usr/bin/python3', ['-c', script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    expect(await lines.next()).toMatchObject({ value: 'ready' });
    native.notify(path, 'READY=1\nSTATUS=ä');
    expect(await lines.next()).toMatchObject({ value: String.raw`b'READY=1\nSTATUS=\xc3\xa4'` });
  },
);

test('a notification to nobody fails with the reason', () => {
  const path = join(folderForTest(), 'none');
  expect(() => native.notify(path, 'x')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  expect(() => native.notify(`@${path}`, 'x')).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }));
  expect(() => native.notify('n'.repeat(108), 'x')).toThrow(
    expect.objectContaining({ code: 'ENAMETOOLONG' }),
  );
  expect(() => native.notify('', 'x')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});
