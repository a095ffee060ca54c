import { expect, test } from 'vitest';
import { nfsConnector } from '../../../../daemon/devices/connect/nfs/nfs.ts';
import {
  locksAreLocal,
  mountAttempts,
  readMountOptions,
} from '../../../../daemon/devices/connect/nfs/options.ts';

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
  ['nfs://h/srv/../etc/shadow', /has steps that are no names/],
  ['nfs://h/srv/v?export=/srv/../srv', /has steps that are no names/],
  ['nfs://h/srv/v?export=/other', /does not lie in "\/other"/],
  ['nfs://h/srv/v?format=vmdk', /"vmdk" is none of/],
  ['nfs://h/srv/v?options=bind', /mount option "bind"/],
  ['nfs://a,b/srv/v', /no host/],
  ['glusterfs://h/vol%20--log-file=%2Fetc%2Fcrontab/v', /can not have here/],
  ['glusterfs://h/$(id)/v', /can not have here/],
  ['glusterfs://h/vol/v?options=vers=3', /mount option "vers=3"/],
  ['glusterfs://h/vol/v?options=xlator-option=x', /mount option "xlator-option=x"/],
  ['nfs://h/srv/v?options=server-port=1', /mount option "server-port=1"/],
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
  [{ export: 'h:/srv/../etc', name: 'v' }, /steps that are no names/],
  [{ export: 'h:/srv\n', name: 'v' }, /can not have here/],
  [{ export: 'h:/srv', name: 'v', format: 'vhd' }, /none of/],
  [{ export: 'h:/srv', name: 'v', options: '-o suid,x-mount.mkdir' }, /mount option "x-mount.mkdir"/],
  [{ export: 'h:/srv', name: 'v', options: '-o context=$(id)' }, /mount option/],
  [{ name: 'v' }, /no "export" and "name"/],
  ['nfs', /no "export" and "name"/],
])('connection_info %j is refused', (data, why) => {
  expect(() => parseInfo(data)).toThrow(why);
});

test('a volume of GlusterFS is a word for a shell script, and has nothing that one takes for more', () => {
  for (const name of ['vol --log-file=/etc/crontab', 'vol;id', 'vol$(id)', 'vol*', "vol'", 'vol\\'])
    expect(() => parseInfo({ export: `h:/${name}`, name: 'v' }, 'glusterfs')).toThrow(/can not have here/);
});

const keyOf = (text: string): string => nfs.key(nfs.parseUrl(text));

test.each([
  'nfs://H/srv/a/v',
  'nfs://h./srv/a/v',
  'nfs://h//srv//a/v',
  'nfs://h:2049/srv/a/v',
  'nfs://h/srv/a/v?options=vers=4.1,port=2049',
  'nfs://h/srv/a/v?options=proto=tcp,rsize=4096,nosharecache',
  'nfs://h/srv/a/v?export=/srv',
  'nfs://h/srv/a/v?export=//srv/',
  'nfs://h/srv/a/v?export=/',
  'nfs://h/srv/%61/v?format=raw',
])('%s is another spelling of one file', (text) => {
  expect(keyOf(text)).toBe(keyOf('nfs://h/srv/a/v'));
});

test('what is another file has another key', () => {
  const all = [
    'nfs://h/srv/a/v',
    'nfs://h2/srv/a/v',
    'nfs://h/srv/a/V',
    'nfs://h:2050/srv/a/v',
    'nfs://h/srv/a/v?format=qcow2',
    'glusterfs://h/srv/a/v',
  ];
  expect(new Set(all.map(keyOf)).size).toBe(all.length);
});

test('of a connection_info too, and of the many forms of an address', () => {
  const info = { export: 'H:/srv/a//', name: 'v', options: '-o vers=3,nolock' };
  expect(nfs.key(parseInfo(info))).toBe(keyOf('nfs://h/srv/a/v'));
  expect(keyOf('nfs://[FD00:0::1]/srv/v')).toBe(keyOf('nfs://[fd00::1]/srv/v'));
  expect(keyOf('glusterfs://h:24007/vol/v')).toBe(
    keyOf('glusterfs://h/vol/v?options=backup-volfile-servers=b'),
  );
  expect(keyOf('glusterfs://h:24008/vol/v')).not.toBe(keyOf('glusterfs://h/vol/v'));
});

test('a share is tried with the newest version first, never waits for ever, and gives no right away', () => {
  const end = 'soft,retry=0,nosharecache,timeo=50,retrans=2,ro,nosuid,nodev,noexec';
  expect(mountAttempts('nfs', [], true)).toEqual([`vers=4.2,${end}`, `vers=4.1,${end}`, end]);
  const given = readMountOptions('-o nfsvers=3,hard,timeo=10,suid -o port=1', 'nfs');
  expect(mountAttempts('nfs', given, false)).toEqual([
    'nfsvers=3,port=1,soft,retry=0,nosharecache,timeo=10,retrans=2,rw,nosuid,nodev,noexec',
  ]);
  const gluster = readMountOptions('transport=tcp,log-file=/etc/crontab,rw', 'glusterfs');
  expect(mountAttempts('glusterfs', gluster, true)).toEqual(['transport=tcp,ro,nosuid,nodev,noexec']);
});

test('no option makes it wait longer, or believe what the server said a while ago', () => {
  const patient = 'timeo=1,timeo=99999999,retrans=1000000,nocto,actimeo=86400,lookupcache=all';
  const given = readMountOptions(patient, 'nfs');
  for (const words of mountAttempts('nfs', given, true))
    expect(words).toMatch(/^(vers=4\.[12],)?soft,retry=0,nosharecache,timeo=50,retrans=2,ro,/);
  expect(mountAttempts('nfs', ['vers=3', 'timeo=0', 'retrans=x'], true)).toEqual([
    'vers=3,soft,retry=0,nosharecache,timeo=1,retrans=2,ro,nosuid,nodev,noexec',
  ]);
});

test('locks that the server does not see are known for it', () => {
  expect([[], ['lock'], ['local_lock=none']].map(locksAreLocal)).toEqual([false, false, false]);
  expect([['nolock'], ['local_lock=all'], ['local_lock=posix']].map(locksAreLocal)).toEqual([
    true,
    true,
    true,
  ]);
});
