import { describe, expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { formatDeviceUrl, parseDeviceUrl } from '../../../daemon/devices/device-url.ts';

const refusal = (text: string): Fault => {
  try {
    parseDeviceUrl(text);
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
  }
  throw new Error(`"${text}" was accepted`);
};

describe('names of devices', () => {
  test.each([
    ['file:///srv/disk.img', 'file', '/srv/disk.img'],
    ['file:/srv/disk.img', 'file', '/srv/disk.img'],
    ['block:///dev/vg/lv', 'block', '/dev/vg/lv'],
    ['BLOCK:///dev/sda', 'block', '/dev/sda'],
    ['loop:///dev/loop7', 'loop', '/dev/loop7'],
    ['/srv/a b%20c', undefined, '/srv/a b%20c'],
    ['file:///srv/a%20b%25', 'file', '/srv/a b%'],
    ['file:///srv/ä b:c', 'file', '/srv/ä b:c'],
  ])('%s is understood', (text, kind, path) => {
    expect(parseDeviceUrl(text)).toEqual({ text, kind, path });
  });

  test.each(['disk.img', './disk.img', '', 'file:disk.img', 'block:sda', 'file://host/disk.img'])(
    'the relative or remote "%s" is refused',
    (text) => {
      expect(refusal(text).code).toBe('INVALID_ARGUMENT');
    },
  );

  test.each(['rbd:pool/image', 'https://host/x', 'c:/disk'])(
    'the unknown kind of "%s" is refused with the kinds there are',
    (text) => {
      const fault = refusal(text);
      expect(fault.code).toBe('INVALID_ARGUMENT');
      expect(fault.message).toContain('file:, block:, loop:');
    },
  );

  test.each(['file:///a%zz', 'file:///a%', 'file:///a?b', 'file:///a#b', 'file:///a%00', '/a\0b'])(
    'the damaged "%s" is refused',
    (text) => {
      expect(refusal(text).code).toBe('INVALID_ARGUMENT');
    },
  );

  test.each(['/plain', '/a b', '/100%', '/what?', '/no#1', '/ä/ö', '/line\nfeed', '/%41', '/a:b'])(
    'the path %j comes back from its URL as it was',
    (path) => {
      expect(parseDeviceUrl(formatDeviceUrl('file', path)).path).toBe(path);
    },
  );
});
