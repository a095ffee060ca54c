import { describe, expect, test } from 'vitest';
import { Fault } from '../../../../daemon/base/faults.ts';
import type { Connector } from '../../../../daemon/devices/connect/connector.ts';
import { connectors, connectorsOf } from '../../../../daemon/devices/connect/connectors.ts';

const never = (): never => {
  throw new Error('nothing is attached here');
};

/** Keeps what it was handed, so that a test sees it. */
const wire: Connector = {
  kind: 'wire',
  schemes: ['wire+unix'],
  driverTypes: ['wire', 'iwire'],
  summary: 'a disk on a wire',
  example: 'wire://host/disk',
  needs: [],
  parseUrl: (text) => ({ text, password: 'swordfish' }),
  parseInfo: (data, more) => ({ data: JSON.stringify(data), ...more }),
  format: () => 'wire://host/disk',
  key: () => 'disk',
  attach: never,
  observe: never,
  rescan: never,
  detach: never,
};
const known = connectorsOf([wire]);

const refusal = (call: () => unknown): Fault => {
  try {
    call();
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
  throw new Error('it was accepted');
};

const remote = (location: ReturnType<typeof known.parse>) => {
  if (location.where !== 'attached') throw new Error('it is here');
  return location;
};

describe('locations', () => {
  test.each(['/srv/disk.img', 'file:///srv/disk.img', 'block:///dev/sda', 'loop:///dev/loop0'])(
    '%s is here already',
    (text) => expect(known.parse(text)).toEqual({ where: 'here', url: text }),
  );

  test.each(['wire://u:swordfish@host/disk', 'WIRE+UNIX:///run/x'])('%s needs its connector', (text) => {
    const location = remote(known.parse(text));
    expect(location.connector.kind).toBe('wire');
    expect(location.url).toBe('wire://host/disk');
    expect(location.connection).toMatchObject({ text });
  });

  test('an unknown scheme is refused with those that there are, and without what may be a password', () => {
    const fault = refusal(() => known.parse('gopher://me:swordfish@host'));
    expect(fault.code).toBe('INVALID_ARGUMENT');
    expect(fault.message).not.toContain('swordfish');
    expect(fault.hint).toContain('file: block: loop: wire: wire+unix:');
  });

  test('a relative path is refused', () => {
    expect(refusal(() => known.parse('disk.img')).code).toBe('INVALID_ARGUMENT');
  });
});

describe('connection_info', () => {
  const data = { target: 'host', access_mode: 'rw' };
  const nested = { driver_volume_type: 'IWIRE', data, mount_point_base: '/mnt' };
  const flat = { driver_volume_type: 'wire', ...data };

  test.each([
    ['as a driver gives it', nested],
    ['wrapped', { connection_info: nested }],
    ['as the API shows an attachment', { attachment: { id: 'x', connection_info: nested } }],
    ['as openstack prints an attachment', { ID: 'x', Status: 'attached', Properties: nested }],
    ['as text within', { connection_info: JSON.stringify(nested) }],
  ])('%s is understood', (_, document) => {
    const location = remote(known.parseInfo(document));
    expect(location.connection).toEqual({
      data: JSON.stringify(data),
      driverType: 'iwire',
      mountPointBase: '/mnt',
    });
    expect(location.readOnly).toBe(false);
  });

  test('without "data", what stands beside the type is the data', () => {
    const location = remote(known.parseInfo({ connection_info: flat }));
    expect(location.connection).toEqual({ data: JSON.stringify(data), driverType: 'wire' });
  });

  test('"access_mode" of "ro" is kept', () => {
    const info = { driver_volume_type: 'wire', data: { access_mode: 'ro' } };
    expect(remote(known.parseInfo(info)).readOnly).toBe(true);
  });

  test('a local one is here already', () => {
    const info = { driver_volume_type: 'local', data: { device_path: '/dev/vg/lv' } };
    expect(known.parseInfo(info)).toEqual({ where: 'here', url: '/dev/vg/lv' });
  });

  test('an unknown type is refused with those that there are', () => {
    const fault = refusal(() => known.parseInfo({ driver_volume_type: 'vmdk', data: {} }));
    expect(fault.message).toContain('"vmdk"');
    expect(fault.hint).toContain('"local", "wire", "iwire"');
  });

  test.each([
    null,
    [],
    7,
    'x',
    {},
    { driver_volume_type: 7, data: {} },
    { driver_volume_type: 'wire', data: [] },
    { connection_info: { connection_info: { connection_info: { connection_info: nested } } } },
    { driver_volume_type: 'local', data: { device_path: 'sda' } },
    { driver_volume_type: 'local', data: {} },
  ])('%j is refused', (document) => {
    expect(refusal(() => known.parseInfo(document)).code).toBe('INVALID_ARGUMENT');
  });
});

test('every connector of the product has its own words, and reads its own example', () => {
  const words = connectors.all.flatMap(({ kind, schemes = [] }) => [kind, ...schemes]);
  const types = connectors.all.flatMap(({ driverTypes }) => driverTypes);
  expect(new Set(words).size).toBe(words.length);
  expect(new Set(types).size).toBe(types.length);
  for (const connector of connectors.all) {
    const connection = connector.parseUrl(connector.example);
    const again = connector.parseUrl(connector.format(connection));
    expect(connector.key(again), connector.kind).toBe(connector.key(connection));
  }
});
