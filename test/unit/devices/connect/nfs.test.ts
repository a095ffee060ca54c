import { expect, test } from 'vitest';
import { nfsConnector } from '../../../../daemon/devices/connect/nfs/nfs.ts';
import { mountAttempts, readMountOptions } from '../../../../daemon/devices/connect/nfs/options.ts';
import { boundedMounts } from '../../../../daemon/devices/connect/nfs/share.ts';

const nfs = nfsConnector();
const file = (more: object) => ({
  type: 'nfs',
  host: 'h',
  export: '/srv',
  name: 'volume-1',
  options: [],
  format: 'raw',
  ...more,
});

test.each([
  ['nfs://h/srv/volume-1', file({})],
  ['nfs://h/srv/a%20b/v?format=qcow2', file({ export: '/srv/a b', name: 'v', format: 'qcow2' })],
  ['nfs://h/srv/a/v?export=/srv', file({ name: 'a/v' })],
  [
    'nfs://[fe80::1]/v?options=vers=4.1,port=2050',
    file({ host: 'fe80::1', export: '/', name: 'v', options: ['vers=4.1', 'port=2050'] }),
  ],
  ['glusterfs://h/vol/a/v', file({ type: 'glusterfs', export: '/vol', name: 'a/v' })],
])('%s is read, and written back to the same file', (text, connection) => {
  expect(nfs.parseUrl(text)).toEqual(connection);
  expect(nfs.parseUrl(nfs.format(connection))).toEqual(connection);
});

test.each([
  ['nfs://h/', /names no file/],
  ['nfs://h/srv/', /names no file/],
  ['nfs://h/srv/../../etc/shadow?export=/srv', /has steps that are no names/],
  ['nfs://h/srv/%2e%2e/v?export=/srv', /has steps that are no names/],
  ['nfs://h/srv/v?export=/other', /does not lie in "\/other"/],
  ['nfs://h/srv/v?format=vmdk', /"vmdk" is none of/],
  ['nfs://h/srv/v?options=bind', /mount option "bind"/],
  ['nfs://a,b/srv/v', /no host/],
])('%s is refused', (text, why) => {
  expect(() => nfs.parseUrl(text)).toThrow(why);
});

const parseInfo = (data: unknown, driverType = 'nfs') => nfs.parseInfo(data, { driverType });

test('what the drivers of Cinder give is taken unchanged', () => {
  const data = {
    export: '10.0.0.5:/srv/cinder',
    name: 'volume-6f1c.ab12',
    options: '-o vers=4.1,rsize=65536,hard',
    format: 'qcow2',
    qos_specs: null,
    access_mode: 'rw',
    encrypted: false,
  };
  const expected = { host: '10.0.0.5', export: '/srv/cinder', name: 'volume-6f1c.ab12', format: 'qcow2' };
  expect(parseInfo(data)).toEqual(file({ ...expected, options: ['vers=4.1', 'rsize=65536'] }));
  expect(nfs.parseUrl(nfs.format(parseInfo(data)))).toEqual(parseInfo(data));
  const gluster = { export: 'gl:vol', name: 'volume-1', options: null };
  expect(parseInfo(gluster, 'glusterfs')).toEqual(file({ type: 'glusterfs', host: 'gl', export: '/vol' }));
});

test.each([
  [{ export: 'h:/srv', name: '../x' }, /steps that are no names/],
  [{ export: 'h:/srv', name: '/etc/shadow' }, /does not lie in the share/],
  [{ export: 'h:/srv', name: 'a\nb' }, /names no file/],
  [{ export: '/srv', name: 'v' }, /not of the form/],
  [{ export: '-o:/srv', name: 'v' }, /not of the form/],
  [{ export: 'h:/srv', name: 'v', format: 'vhd' }, /none of/],
  [{ export: 'h:/srv', name: 'v', options: '-o suid,x-mount.mkdir' }, /mount option "x-mount.mkdir"/],
  [{ export: 'h:/srv', name: 'v', options: '-o context=$(id)' }, /mount option/],
  [{ name: 'v' }, /no "export" and "name"/],
  ['nfs', /no "export" and "name"/],
])('connection_info %j is refused', (data, why) => {
  expect(() => parseInfo(data)).toThrow(why);
});

test('a share is tried with the newest version first, never waits for ever, and gives no right away', () => {
  const end = 'soft,retry=0,nosharecache,timeo=50,retrans=2,ro,nosuid,nodev,noexec';
  expect(mountAttempts('nfs', [], true)).toEqual([`vers=4.2,${end}`, `vers=4.1,${end}`, end]);
  const given = readMountOptions('-o nfsvers=3,hard,timeo=10,suid -o port=1');
  expect(mountAttempts('nfs', given, false)).toEqual([
    'nfsvers=3,timeo=10,port=1,soft,retry=0,nosharecache,retrans=2,rw,nosuid,nodev,noexec',
  ]);
});

test('only a mount of the whole share that does not hang is used again', () => {
  const line = (root: string, at: string, type: string, from: string, options: string) =>
    `30 20 0:40 ${root} ${at} rw,relatime shared:1 - ${type} ${from} ${options}`;
  const table = [
    line('/', '/mnt/hard', 'nfs4', 'h:/srv', 'rw,vers=4.2,hard'),
    line('/', '/mnt/other', 'nfs4', 'h:/srv2', 'rw,soft'),
    line('/sub', '/mnt/part', 'nfs4', 'h:/srv', 'rw,soft'),
    line('/', '/mnt/with\\040space', 'nfs4', 'h:/srv', 'rw,soft,proto=tcp'),
  ].join('\n');
  expect(boundedMounts(table, 'h:/srv')).toEqual(['/mnt/with space']);
});
