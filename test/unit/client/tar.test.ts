/** Heads of archives, read by GNU tar, which is no code of ours. */

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { tarEnd, tarHead } from '../../../client/files/tar.ts';
import type { FileValue } from '../../../daemon/protocol/values.ts';

const file: FileValue = {
  name: 'file',
  name_hex: null,
  kind: 'file',
  node: 12,
  mode: '0644',
  links: 1,
  uid: 0,
  gid: 0,
  size_bytes: 0,
  used_bytes: 0,
  modified_at: '2024-01-02T03:04:05.000000000Z',
  changed_at: null,
  accessed_at: null,
  device: null,
};

test('an attribute keeps its name and its value, also with "=" and "%" in the name', () => {
  const value = Buffer.from('four');
  const names = ['user.a=b', 'user.50%', 'user.c%3Dd', 'user.plain'];
  const attributes = names.map((name) => ({ name, value }));
  const archive = Buffer.concat([tarHead({ path: Buffer.from('file'), file, attributes }), tarEnd()]);
  const listed = execFileSync('tar', ['--xattrs', '-tvvf', '-'], { input: archive, encoding: 'utf8' });
  const told = [...listed.matchAll(/^ {2}x: +(\d+) (.+)$/gm)].map(([, bytes, name]) => [name, bytes]);
  expect(told).toEqual(names.map((name) => [name, '4']));
});
