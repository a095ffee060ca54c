/** Folder names of the view, as pure values. */

import { expect, test } from 'vitest';
import { backupFolderName, backupFolders, backupsByTime, volumeFolders } from '../../../daemon/view/names.ts';

const first = 'aaaaaaaa-0000-4000-8000-000000000001';
const second = 'bbbbbbbb-0000-4000-8000-000000000002';
const namesOf = (...volumes: { id: string; name: string }[]) =>
  Object.fromEntries([...volumeFolders(volumes)].map(([name, { id }]) => [name, id]));

test('a volume has its own name where it is safe and the only one', () => {
  expect(namesOf({ id: first, name: 'disk' }, { id: second, name: 'Größe 1' })).toEqual({
    disk: first,
    'Größe 1': second,
  });
});

test('volumes of the same name are told apart by the start of their ids, in any order', () => {
  const volumes = [
    { id: first, name: 'disk' },
    { id: second, name: 'disk' },
  ];
  const both = { 'disk (aaaaaaaa)': first, 'disk (bbbbbbbb)': second };
  expect(namesOf(...volumes)).toEqual(both);
  expect(namesOf(...volumes.reverse())).toEqual(both);
});

test('volumes whose ids begin alike have their whole ids', () => {
  const third = 'aaaaaaaa-0000-4000-8000-000000000009';
  expect(namesOf({ id: first, name: 'disk' }, { id: third, name: 'disk' })).toEqual({
    [`disk (${first})`]: first,
    [`disk (${third})`]: third,
  });
});

test('a volume can not take the name that another one got', () => {
  const imitator = { id: 'cccccccc-0000-4000-8000-000000000003', name: 'disk (aaaaaaaa)' };
  const names = namesOf({ id: first, name: 'disk' }, { id: second, name: 'disk' }, imitator);
  expect(names['disk (aaaaaaaa)']).toBe(first);
  expect(Object.values(names).sort()).toEqual([first, second, imitator.id].sort());
});

test.each([
  '',
  '.',
  '..',
  'a/b',
  '../../etc',
  'line\nend',
  'zero\0byte',
  '\ud800',
  'x'.repeat(300),
  'ü'.repeat(200),
])('the name %j becomes one that is valid and says whose it is', (name) => {
  const [folder] = volumeFolders([{ id: first, name }]).keys();
  expect(folder).toMatch(/^[^/\p{Cc}]+ \(aaaaaaaa\)$/u);
  expect(Buffer.byteLength(folder ?? '')).toBeLessThanOrEqual(255);
  expect(Buffer.from(folder ?? '').toString()).toBe(folder);
});

test('a backup is named by its time in UTC and the start of its id', () => {
  expect(backupFolderName({ id: first, created_at: '2026-11-21T14:31:06.789+02:00' })).toBe(
    '2026-11-21T12.31.06.789Z-aaaaaaaa',
  );
  expect(backupFolderName({ id: first, created_at: 'yesterday' })).toBe('unknown-time-aaaaaaaa');
});

test('backups that share time and start of id have their whole ids', () => {
  const backup = (id: string) => ({
    id,
    volume_id: 'v',
    created_at: '2026-11-21T12:31:06Z',
    data_timestamp: '',
    size_bytes: 0,
  });
  const twin = 'aaaaaaaa-0000-4000-8000-000000000009';
  expect([...backupFolders([backup(first), backup(twin), backup(second)]).keys()]).toEqual([
    `2026-11-21T12.31.06.000Z-${first}`,
    `2026-11-21T12.31.06.000Z-${twin}`,
    '2026-11-21T12.31.06.000Z-bbbbbbbb',
  ]);
});

test("a volume that is called like the view's own folder gets its id", () => {
  expect(namesOf({ id: first, name: 'by-time' })).toEqual({ 'by-time (aaaaaaaa)': first });
});

test('all backups are named by time and volume, in that order', () => {
  const backup = (id: string, volume_id: string, created_at: string) => ({
    id,
    volume_id,
    created_at,
    data_timestamp: '',
    size_bytes: 0,
  });
  const long = 'x'.repeat(240);
  const volumes = [
    { id: 'v1', name: 'web' },
    { id: 'v2', name: 'db' },
    { id: 'v3', name: `${long}1` },
    { id: 'v4', name: `${long}2` },
  ];
  const backups = [
    backup('b3', 'v1', '2026-11-21T12:31:07Z'),
    backup('b1', 'v1', '2026-11-21T12:31:06Z'),
    backup('b2', 'v2', '2026-11-21T12:31:06Z'),
    backup('b4', 'v2', '2026-11-21T12:31:08Z'),
    backup('b5', 'v2', '2026-11-21T12:31:08Z'),
    backup('b6', 'v3', '2026-11-21T12:31:09Z'),
    backup('b7', 'v4', '2026-11-21T12:31:09Z'),
  ];
  const names = backupsByTime(volumeFolders(volumes), ({ id }) =>
    backups.filter(({ volume_id }) => volume_id === id),
  );
  expect([...names].map(([name, { id }]) => [name, id])).toEqual([
    ['2026-11-21T12.31.06.000Z@db', 'b2'],
    ['2026-11-21T12.31.06.000Z@web', 'b1'],
    ['2026-11-21T12.31.07.000Z@web', 'b3'],
    ['2026-11-21T12.31.08.000Z-b4', 'b4'],
    ['2026-11-21T12.31.08.000Z-b5', 'b5'],
    ['2026-11-21T12.31.09.000Z-b6', 'b6'],
    ['2026-11-21T12.31.09.000Z-b7', 'b7'],
  ]);
});
