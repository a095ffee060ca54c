/** Names in a Cinder repository: as Cinder makes them, and never outside of the root. */

import { expect, test } from 'vitest';
import {
  containerFor,
  defaultContainer,
  hashesName,
  metadataName,
  objectName,
  parseName,
  parsePrefix,
  prefixOf,
  safeContainer,
} from '../../../../daemon/repository/cinder/names.ts';

const volumeId = 'aaaaaaaa-0000-4000-8000-000000000001';
const backupId = 'b0000000-0000-4000-8000-000000000001';
const prefix = prefixOf({ volumeId, backupId, createdAt: '2026-11-21T09:32:53.674Z' });

test('a prefix and its names are as Cinder makes them', () => {
  expect(prefix).toBe(`volume_${volumeId}_20261121093253_backup_${backupId}`);
  expect(objectName(prefix, 1)).toBe(`${prefix}-00001`);
  expect(objectName(prefix, 100_000)).toBe(`${prefix}-100000`);
  expect(defaultContainer(backupId)).toBe(`b0/00/${backupId}`);
});

test('names are taken apart again, and others are none', () => {
  expect(parsePrefix(prefix)).toEqual({ volumeId, backupId });
  expect(parseName(objectName(prefix, 123_456))).toEqual({ prefix, part: { kind: 'data', number: 123_456 } });
  expect(parseName(hashesName(prefix))).toEqual({ prefix, part: { kind: 'hashes' } });
  expect(parseName(metadataName(prefix))).toEqual({ prefix, part: { kind: 'metadata' } });
  const stored = `volume_${volumeId}/20261121093253/az_nova_backup_${backupId}`;
  expect(parseName(`${stored}-00002`)).toEqual({ prefix: stored, part: { kind: 'data', number: 2 } });
  for (const name of [prefix, `${prefix}-1`, `${prefix}-00001.tmp`, `${prefix}_sha256`, 'basalt-cinder.json'])
    expect(parseName(name)).toBeUndefined();
});

test.each(['../x', '/etc', 'a/../../b', '', '.', '..', 'a\0b', 'x'.repeat(256)])(
  'the container %j leads nowhere',
  (container) => {
    expect(safeContainer(container)).toBeUndefined();
    expect(() => containerFor(backupId, container)).toThrow('must be a path below the root');
  },
);

test('a container of a record may be spelt in another way, a new one may not', () => {
  expect(safeContainer('a//b/./c/')).toBe('a/b/c');
  expect(() => containerFor(backupId, 'a//b')).toThrow('must be a path below the root');
  expect(containerFor(backupId, 'a/b')).toBe('a/b');
  expect(containerFor(backupId, null)).toBe(defaultContainer(backupId));
});
