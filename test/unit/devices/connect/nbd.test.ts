import { expect, test } from 'vitest';
import { bridgeWords } from '../../../../daemon/devices/connect/bridge/programs.ts';
import type { AttachPolicy } from '../../../../daemon/devices/connect/connector.ts';
import { nbdNode } from '../../../../daemon/devices/connect/nbd/address.ts';
import { askNbd, nbdComplaint } from '../../../../daemon/devices/connect/nbd/ask.ts';
import { nbdConnector } from '../../../../daemon/devices/connect/nbd/nbd.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';

const nbd = nbdConnector();

test.each([
  ['nbd://h/disk', { over: 'tcp', host: 'h', port: 10809, export: 'disk' }, 'nbd://h/disk'],
  [
    'NBD://10.0.0.5:10810',
    { over: 'tcp', host: '10.0.0.5', port: 10810, export: '' },
    'nbd://10.0.0.5:10810/',
  ],
  [
    'nbd://[fe80::1]:99/a/b%20c',
    { over: 'tcp', host: 'fe80::1', port: 99, export: 'a/b c' },
    'nbd://[fe80::1]:99/a/b%20c',
  ],
  [
    'nbd+unix:///x?socket=/run/a%20b',
    { over: 'unix', socket: '/run/a b', export: 'x' },
    'nbd+unix:///x?socket=/run/a%20b',
  ],
])('%s is read, and written back to the same export', (text, connection, written) => {
  expect(nbd.parseUrl(text)).toEqual(connection);
  expect(nbd.format(connection)).toBe(written);
  expect(nbd.parseUrl(written)).toEqual(connection);
});

test.each([
  ['nbd://h/a%62c', 'NBD://H:10809/abc'],
  ['nbd://[FE80:0::1]/x', 'nbd://[fe80::1]:10809/x'],
  ['nbd+unix:///x?socket=/run//./nbd', 'nbd+unix:///x?socket=%2Frun/nbd'],
  ['nbd://[FE80::1%25eth0]/x', 'nbd://[fe80::1%25eth0]:10809/x'],
])('%s and %s are one export', (one, other) => {
  expect(nbd.key(nbd.parseUrl(one))).toBe(nbd.key(nbd.parseUrl(other)));
});

test('no two exports have one key', () => {
  const texts = [
    'nbd://h/x',
    'nbd://h/X',
    'nbd://h/x/',
    'nbd://h:1/x',
    'nbd://h/',
    'nbd+unix:///x?socket=/h',
    'nbd+unix:///x?socket=/H',
    'nbd+unix:///x?socket=/a/../h',
  ];
  expect(new Set(texts.map((text) => nbd.key(nbd.parseUrl(text)))).size).toBe(texts.length);
});

test.each([
  ['nbd:///disk', /"" is no host/],
  ['nbd://h:0/disk', /0 is no port/],
  ['nbd://h:70000/disk', /no port/],
  ['nbd://user@h/disk', /"user@h" is no host/],
  ['nbd://-oops/disk', /no host/],
  ['nbd://[not-v6]/disk', /no host/],
  ['nbd://h/disk?socket=/s', /nbd\+unix/],
  ['nbd://h/disk?tls=yes', /it may have "socket", not "tls"/],
  ['nbd://h/a%0Ab', /control character/],
  ['nbd://h/a%zz', /hexadecimal/],
  ['nbd+unix:///x', /needs \?socket=/],
  ['nbd+unix:///x?socket=relative', /absolute path/],
  ['nbd+unix://h/x?socket=/s', /without a host/],
  ['nbd:h', /not of the form/],
])('%s is refused', (text, why) => {
  expect(() => nbd.parseUrl(text)).toThrow(why);
});

test('what the server or libnbd complain of is said without names of functions', () => {
  const refused =
    'nbdinfo: nbd_connect_uri: connect: 127.0.0.1:1: could not connect to remote host: Connection refused\n';
  expect(nbdComplaint(refused)).toBe(
    'connect: 127.0.0.1:1: could not connect to remote host: Connection refused',
  );
  const unknown =
    '/usr/bin/nbdinfo: nbd_opt_go: server replied with error to opt_go request: No such file: nix\nnbdinfo: suggestion: x\n';
  expect(nbdComplaint(unknown)).toBe('the server has no such export, or refuses it');
  expect(nbdComplaint('')).toMatch(/does not answer as/);
});

test('a source is shown in a way that can not write, by either program', () => {
  const node = nbdNode({ over: 'tcp', host: 'h', port: 1, export: 'a,b' });
  const dial = () => Promise.reject(new Error('not asked for'));
  const served = { uri: 'nbd://h:1/a%2Cb', dial };
  const source = { node, served, writable: false };
  expect(bridgeWords('nbdfuse', source, '/f')).toEqual(['-r', '/f', 'nbd://h:1/a%2Cb']);
  const alone = { ...source, served: { ...served, connections: 1 } };
  expect(bridgeWords('nbdfuse', alone, '/f')).toEqual(['-r', '-C', '1', '/f', 'nbd://h:1/a%2Cb']);
  const [, shown = '', , exported = ''] = bridgeWords('qemu-storage-daemon', source, '/f');
  expect(JSON.parse(shown)).toMatchObject({ driver: 'nbd', export: 'a,b', 'read-only': true });
  expect(JSON.parse(exported)).toMatchObject({
    type: 'fuse',
    mountpoint: '/f',
    writable: false,
    growable: false,
  });
  const image = bridgeWords('nbdfuse', { node: { driver: 'qcow2' }, writable: false }, '/f');
  expect(image).toEqual(['-r', '/f', '[', 'qemu-nbd', '-r', 'json:{"driver":"qcow2"}', ']']);
});

test('a server that keeps us waiting is told of with what may be the reason', async () => {
  const silent = { status: null, stdout: '', stderr: '', timedOut: true, complaint: '' };
  const tools: Tools = {
    run: () => Promise.resolve(silent),
    output: () => Promise.reject(new Error('not asked for')),
    find: () => Promise.resolve(undefined),
  };
  const { signal } = new AbortController();
  const policy = { timeoutMs: 5000 } as AttachPolicy;
  await expect(askNbd('nbd://h/x', { tools, policy, signal })).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    message: 'Cannot attach "nbd://h/x": the server does not answer within 5 s',
    hint: expect.stringContaining('one client at a time'),
  });
});
