import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { rbdImage } from '../../../../daemon/devices/connect/rbd/address.ts';
import { confText } from '../../../../daemon/devices/connect/rbd/ceph.ts';
import { rbdConnector } from '../../../../daemon/devices/connect/rbd/rbd.ts';
import { systemTools } from '../../../../daemon/devices/connect/tools.ts';
import { contextForTest } from '../../../support/connect.ts';

const rbd = rbdConnector();
const image = (more: object) => ({
  pool: 'p',
  namespace: null,
  image: 'i',
  snapshot: null,
  conf: null,
  mons: [],
  user: null,
  cluster: 'ceph',
  key: null,
  ...more,
});

test.each([
  ['rbd://p/i', image({})],
  [
    'rbd://p/n/i@s?conf=/etc/ceph/b.conf&id=backup',
    image({ namespace: 'n', snapshot: 's', conf: '/etc/ceph/b.conf', user: 'backup' }),
  ],
  ['rbd://my%20pool/a%23b?cluster=west', image({ pool: 'my pool', image: 'a#b', cluster: 'west' })],
  ['rbd://p/i?mons=10.0.0.1:6789,[fe80::1]:3300', image({ mons: ['10.0.0.1:6789', '[fe80::1]:3300'] })],
])('%s is read, and written back to the same image', (text, connection) => {
  expect(rbd.parseUrl(text)).toEqual(connection);
  expect(rbd.parseUrl(rbd.format(connection))).toEqual(connection);
});

test.each([
  ['rbd://p', /names no image/],
  ['rbd:///i', /names no pool/],
  ['rbd://p/a/b/c', /not POOL/],
  ['rbd://p/i@s@t', /not POOL/],
  ['rbd://p/i@', /names no snapshot/],
  ['rbd://p//i', /names no namespace/],
  ['rbd://p/i?conf=ceph.conf', /not absolute/],
  ['rbd://p/i?id=a%20b', /not the name of a user/],
  ['rbd://p/i?mons=-x', /no host/],
  ['rbd://p/i?key=secret', /it may have/],
])('%s is refused', (text, why) => {
  expect(() => rbd.parseUrl(text)).toThrow(why);
});

const same = 'rbd://p/i?conf=/etc/ceph/ceph.conf';
test.each([
  ['rbd://p/i', same],
  ['rbd://p/i?id=backup', same],
  ['rbd://%70/%69?conf=/etc//ceph/./ceph.conf', same],
  ['rbd://p/i?cluster=west', 'rbd://p/i?conf=/etc/ceph/west.conf'],
  ['rbd://p/i?mons=B:1,a:2,a:2', 'rbd://p/i?mons=a:2,b:1'],
  ['rbd://p/i?mons=[FE80:0::1]:3300', 'rbd://p/i?mons=[fe80::1]:3300'],
])('%s and %s are one image', (one, other) => {
  expect(rbd.key(rbd.parseUrl(one))).toBe(rbd.key(rbd.parseUrl(other)));
});

test('no two images have one key', () => {
  const texts = [
    'rbd://p/i',
    'rbd://p/I',
    'rbd://P/i',
    'rbd://p/i@s',
    'rbd://p/i@S',
    'rbd://p/n/i',
    'rbd://p/n/i@s',
    'rbd://n/i',
    'rbd://p/i?conf=/etc/ceph/west.conf',
    'rbd://p/i?mons=a',
    'rbd://p/i?mons=a:1',
    'rbd://p/i?mons=a,b',
    'rbd://p/%2C',
  ];
  expect(new Set(texts.map((text) => rbd.key(rbd.parseUrl(text)))).size).toBe(texts.length);
});

const secret = 'AQBfVvFnAAAAABAAh6Yb0k9w2cXJt3P1rQ5uOg==';
const info = {
  name: 'volumes/volume-6f1c',
  hosts: ['10.0.0.1', '::1'],
  ports: ['6789', 6790],
  cluster_name: 'ceph',
  auth_enabled: true,
  auth_username: 'cinder',
  secret_type: 'ceph',
  secret_uuid: 'x',
  volume_id: '6f1c',
  discard: true,
  keyring: `[client.cinder]\n\tkey = ${secret}\n\tcaps mon = "profile rbd"\n`,
};
const parse = (data: unknown) => rbd.parseInfo(data, { driverType: 'rbd' });

test('what the driver of Cinder gives is taken unchanged, and its key shows nowhere', () => {
  const connection = parse(info);
  const expected = {
    pool: 'volumes',
    image: 'volume-6f1c',
    user: 'cinder',
    mons: ['10.0.0.1:6789', '[::1]:6790'],
  };
  expect(connection).toEqual(image({ ...expected, key: secret }));
  expect(rbd.format(connection)).toBe('rbd://volumes/volume-6f1c?mons=10.0.0.1:6789,[::1]:6790&id=cinder');
  expect(rbd.key(connection)).not.toContain(secret);
  expect(rbd.parseUrl(rbd.format(connection))).toEqual({ ...connection, key: null });
  const conf = confText(rbdImage(connection), '/a/keyring');
  expect(conf).toContain('mon_host = 10.0.0.1:6789,[::1]:6790\nkeyring = /a/keyring\n');
  expect(conf).not.toContain(secret);
  const without = confText(rbdImage(parse({ ...info, keyring: null })), '/a/keyring');
  expect(without).toContain('keyring = /etc/ceph/ceph.client.cinder.keyring\n');
});

test('a namespace, a snapshot and no authentication are taken, too, and the key of the user among others', () => {
  const name = 'volumes/tenant/volume-6f1c@snapshot-1';
  const { keyring: _, ...open } = { ...info, name, auth_enabled: false, auth_username: null };
  expect(parse(open)).toMatchObject({
    pool: 'volumes',
    namespace: 'tenant',
    image: 'volume-6f1c',
    snapshot: 'snapshot-1',
    user: null,
    key: null,
  });
  const others = `[client.cinder-backup]\n\tkey = ${secret.replace('A', 'B')}\n${info.keyring}`;
  expect(parse({ ...info, keyring: others })).toMatchObject({ key: secret });
});

test.each([
  [{ ...info, name: 'volume' }, /of the form POOL/],
  [{ ...info, name: 'a/b@c@d' }, /of the form POOL/],
  [{ ...info, name: 'a/b/c/d' }, /of the form POOL/],
  [{ ...info, ports: ['6789'] }, /as many "ports"/],
  [{ ...info, hosts: ['a\nb', 'c'] }, /no host and port/],
  [{ ...info, hosts: ['a', 'b'], ports: ['0', '1'] }, /no host and port/],
  [{ ...info, auth_username: 'a\n[global]' }, /a name that is none/],
  [{ ...info, keyring: '[client.a]\nkey = x\n' }, /holds no key/],
  [{ name: 'a/b' }, /"hosts" and "ports"/],
])('connection_info number %# is refused, and does not show its key', (data, why) => {
  expect(() => parse(data)).toThrow(why);
  expect(() => parse(data)).not.toThrow(secret);
});

test('an image that is read from a snapshot of our making is frozen at its attach; a snapshot that is named is for all', () => {
  expect(rbd.frozen?.(rbd.parseUrl('rbd://p/i'))).toBe(true);
  expect(rbd.frozen?.(rbd.parseUrl('rbd://p/i@s'))).toBe(false);
});

const silent = { status: 110, signal: null, timedOut: false, stdout: '', stderr: '', complaint: 'timed out' };
const contextOfSilence = () => contextForTest({ tools: { ...systemTools, run: async () => silent } });

test('where there is no key to be asked with, the keyring that is missing is named', async () => {
  const refused = (text: string) => rbd.attach(rbd.parseUrl(text), contextOfSilence());
  const missing = 'there is no keyring "/etc/ceph/west.client.nobody-here.keyring"';
  await expect(refused('rbd://p/i?mons=192.0.2.1&id=nobody-here&cluster=west')).rejects.toThrow(missing);
  const folder = mkdtempSync(join(tmpdir(), 'basalt-rbd-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const conf = join(folder, 'west.conf');
  writeFileSync(conf, '[global]\nmon_host = 192.0.2.1\nauth client required = cephx\n');
  await expect(refused(`rbd://p/i?conf=${conf}&id=nobody-here`)).rejects.toThrow(missing);
  writeFileSync(conf, '[global]\nmon_host = 192.0.2.1\nkeyring = /etc/hostname\n');
  await expect(refused(`rbd://p/i?conf=${conf}&id=nobody-here`)).rejects.toThrow(
    /the cluster does not answer$/,
  );
});

test('of a cluster that never answers nothing is left that would need its answer', async () => {
  const context = contextOfSilence();
  const connection = rbd.parseUrl('rbd://p/i?mons=192.0.2.1');
  await expect(rbd.attach(connection, context)).rejects.toThrow('the cluster does not answer');
  await rbd.detach(connection, context.journaled.at(-1) ?? {}, context);
});
