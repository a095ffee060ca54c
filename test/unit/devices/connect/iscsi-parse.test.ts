/** iSCSI connections: URLs, Cinder's documents, and text of open-iscsi's records. */

import { expect, test } from 'vitest';
import { load } from '../../../../daemon/devices/connect/iscsi/connection.ts';
import { readTargets } from '../../../../daemon/devices/connect/iscsi/discover.ts';
import { iscsi } from '../../../../daemon/devices/connect/iscsi/iscsi.ts';
import { nodeSettings } from '../../../../daemon/devices/connect/iscsi/login.ts';
import { isOurs, settingOf, withSettings } from '../../../../daemon/devices/connect/iscsi/record-text.ts';
import { fileStem } from '../../../../daemon/devices/connect/iscsi/records.ts';

const iqn = 'iqn.2026-01.example:disk';
const parse = (data: unknown) => load(iscsi.parseInfo(data, { driverType: 'iscsi' }));

test('a URL is read to portals, target and number, and written back without a secret', () => {
  const url = `iscsi://10.0.0.2,10.0.1.2:3261,[FD00:0::2]/IQN.2026-01.example:disk/7?user=b%20c&password=p%2Bw&discover=yes`;
  const connection = iscsi.parseUrl(url);
  expect(load(connection)).toEqual({
    portals: ['10.0.0.2:3260', '10.0.1.2:3261', '[fd00::2]:3260'].map((portal) => ({ portal, iqn, lun: 7 })),
    discover: true,
    chap: { user: 'b c', password: 'p+w' },
    discoveryChap: null,
    enforceMultipath: null,
  });
  const written = iscsi.format(connection);
  expect(written).toBe(`iscsi://10.0.0.2:3260,10.0.1.2:3261,[fd00::2]:3260/${iqn}/7?user=b%20c&discover=yes`);
  const again = iscsi.parseUrl(written);
  expect(iscsi.key(again)).toBe(iscsi.key(connection));
  expect(load(again)).toMatchObject({
    portals: load(connection).portals,
    chap: { user: 'b c', password: '' },
  });
});

test.each([
  ['', '', true],
  ['', '?user=a&password=x', true],
  ['?user=a&password=x', '?user=a&password=x', true],
  ['?user=a&password=x', '?user=a&password=y', false],
  ['?user=a&password=x', '?user=b&password=x', false],
  ['?user=a&password=x', '?user=a', false],
  ['?user=a&password=x', '', false],
  ['?user=a', '?user=a', false],
])('what was attached with "%s" is shared with who asks with "%s": %s', (held, asked, expected) => {
  const [one, other] = [held, asked].map((query) => iscsi.parseUrl(`iscsi://h/${iqn}/1${query}`));
  if (one === undefined || other === undefined) throw new Error('two connections');
  expect(iscsi.admits?.(one, other)).toBe(expected);
});

test.each([
  ['SAM', 300, 300],
  ['SAM2', 255, 255],
  ['SAM2', 256, 16_640],
  ['SAM3-flat', 1, 16_385],
  ['transparent', 5, 5],
])('addressing %s makes %i the number %i of the kernel, and the URL says so', (addressing, lun, kernel) => {
  const connection = iscsi.parseUrl(`iscsi://h/${iqn}/${lun}?addressing=${addressing}`);
  expect(load(connection).portals[0]?.lun).toBe(kernel);
  expect(load(iscsi.parseUrl(iscsi.format(connection))).portals[0]?.lun).toBe(kernel);
});

test.each([
  'iscsi://10.0.0.2/iqn.2026-01.example:disk',
  'iscsi:///iqn.2026-01.example:disk/1',
  'iscsi://10.0.0.2:0/iqn.2026-01.example:disk/1',
  'iscsi://10.0.0.2:99999/iqn.2026-01.example:disk/1',
  'iscsi://-p/iqn.2026-01.example:disk/1',
  'iscsi://[fd00::x]/iqn.2026-01.example:disk/1',
  'iscsi://[1:2:3]/iqn.2026-01.example:disk/1',
  'iscsi://10.0.0.2/..%2F..%2Fetc/1',
  'iscsi://10.0.0.2/iqn.2026-01.example:a%2Fb/1',
  'iscsi://10.0.0.2/iqn.2026-01.example:disk/65536',
  'iscsi://10.0.0.2/iqn.2026-01.example:disk/1?pass=x',
  'iscsi://10.0.0.2/iqn.2026-01.example:disk/1?user=a%0Ab&password=x',
  'iscsi://10.0.0.2/iqn.2026-01.example:disk/1?user=a&password=x%0Anode.startup%20=%20automatic',
  'iscsi://10.0.0.2/iqn.2026-01.example:disk/1?addressing=odd',
  'iscsi://10.0.0.2/iqn.2026-01.example:disk/1?discover=maybe',
  'iscsi://user:secret@10.0.0.2/iqn.2026-01.example:disk/1',
])('%s is refused', (text) => {
  expect(() => iscsi.parseUrl(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

test('the lists of a connection_info belong together position by position', () => {
  const data = {
    target_discovered: false,
    target_portal: '10.0.0.2:3260',
    target_iqn: iqn,
    target_lun: 1,
    target_portals: ['10.0.0.2:3260', '10.0.1.2:3260'],
    target_iqns: [iqn, `${iqn}2`],
    target_luns: [1, 2],
    auth_method: 'CHAP',
    auth_username: 'user',
    auth_password: 'secret secret',
    volume_id: '5d7b0d29-7c5d-4b13-a1f6-1c1b4a3f2f0e',
    enforce_multipath: true,
  };
  expect(parse(data)).toMatchObject({
    portals: [
      { portal: '10.0.0.2:3260', iqn, lun: 1 },
      { portal: '10.0.1.2:3260', iqn: `${iqn}2`, lun: 2 },
    ],
    discover: false,
    chap: { user: 'user', password: 'secret secret' },
    enforceMultipath: true,
  });
  expect(parse({ ...data, target_luns: undefined }).portals.map(({ lun }) => lun)).toEqual([1, 1]);
  expect(() => parse({ ...data, target_luns: [1] })).toThrow('differ in length');
  expect(() => parse({ ...data, target_iqns: [iqn] })).toThrow('differ in length');
  expect(() => parse({ target_lun: 1 })).toThrow('it has no target_portal');
  expect(() => parse({ target_portal: '10.0.0.2', target_lun: 1 })).toThrow('it has no target_iqn');
});

test('a portal that is named twice is one path, and there are no more than 32', () => {
  const url = (portals: readonly string[]) => `iscsi://${portals.join(',')}/${iqn}/1`;
  expect(load(iscsi.parseUrl(url(['h', 'H:3260', 'i']))).portals.map(({ portal }) => portal)).toEqual([
    'h:3260',
    'i:3260',
  ]);
  const many = Array.from({ length: 33 }, (_, number) => `h${number}`);
  expect(() => iscsi.parseUrl(url(many))).toThrow('it has 33 portals');
});

test('singular keys alone are one path, and the others are asked for', () => {
  const data = { target_portal: '[fd00::2]:3260', target_iqn: iqn, target_lun: '4', addressing_mode: 'SAM2' };
  expect(parse(data)).toMatchObject({
    portals: [{ portal: '[fd00::2]:3260', iqn, lun: 4 }],
    discover: true,
    chap: null,
  });
});

test.each([
  null,
  [],
  {},
  { target_portal: '10.0.0.2:3260', target_iqn: '../../x', target_lun: 1 },
  { target_portal: '10.0.0.2:3260', target_iqn: iqn, target_lun: -1 },
  { target_portal: '10.0.0.2:3260', target_iqn: iqn, target_lun: 1, auth_method: 'KRB5' },
  { target_portal: { a: 1 }, target_iqn: iqn, target_lun: 1 },
  {
    target_portal: '10.0.0.2:3260',
    target_iqn: iqn,
    target_lun: 1,
    auth_username: 'a',
    auth_password: 'b\nc',
  },
])('the connection_info %j is refused', (data) => {
  expect(() => parse(data)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

test('settings of a record are replaced where they are, the rest stays; ours are told by their mark', () => {
  const text =
    '# BEGIN RECORD 2.1.8\nnode.name = x\nnode.session.scan = auto\nnode.tpgt = -1\n# END RECORD\n';
  const settings = new Map([
    ['node.session.scan', 'manual'],
    ['node.session.auth.password', 'a = b'],
    ['node.tpgt', null],
  ]);
  const ours = withSettings(text, settings);
  expect(ours).toBe(
    '# BEGIN RECORD 2.1.8\n# made by basalt\nnode.name = x\nnode.session.scan = manual\nnode.session.auth.password = a = b\n# END RECORD\n',
  );
  expect([isOurs(ours), isOurs(text)]).toEqual([true, false]);
  expect(withSettings(ours, settings)).toBe(ours);
  expect(settingOf(ours, 'node.session.auth.password')).toBe('a = b');
});

test('limits of a login are ours, or those of the host where they are shorter', () => {
  const text = 'node.conn[0].timeo.login_timeout = 3\nnode.session.timeo.replacement_timeout = 120\n';
  const settings = nodeSettings(text, null, true);
  expect(settings.get('node.conn[0].timeo.login_timeout')).toBe('3');
  expect(settings.get('node.session.timeo.replacement_timeout')).toBe('5');
  expect(settings.get('node.session.auth.password')).toBeNull();
  expect(nodeSettings(text, { user: 'u', password: 'p' }, false).get('node.session.auth.authmethod')).toBe(
    'CHAP',
  );
});

test('names of records are those of open-iscsi', () => {
  expect(fileStem('10.0.0.2:3260')).toBe('10.0.0.2,3260');
  expect(fileStem('[fd00::2]:3260')).toBe('fd00::2,3260');
});

test('of what a discovery prints only targets are taken', () => {
  const text = `10.0.0.2:3260,1 ${iqn}\n[fd00::2]:3260,-1 ${iqn}\niscsiadm: some words\n10.0.0.3:3260,1 ../../x\n\n`;
  expect(readTargets(text)).toEqual([
    { portal: '10.0.0.2:3260', iqn },
    { portal: '[fd00::2]:3260', iqn },
  ]);
});
