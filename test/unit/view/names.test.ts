/** Folder names of the view, as pure values. */

import { expect, test } from 'vitest';
import { backupFolderName, backupFolders, volumeFolders } from '../../../daemon/view/names.ts';

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
