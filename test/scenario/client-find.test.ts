/** The built client where it searches all points in time: what could not be looked into is never passed over in silence. */

import { expect, test } from 'vitest';
import { clientOnFakeDaemon } from '../support/client.ts';
import { type Answer, aBackup, aFault } from '../support/fake-daemon.ts';

const { basaltctl, fake } = clientOnFakeDaemon();

const file = {
  name: 'hosts',
  name_hex: null,
  node: 12,
  kind: 'file',
  size_bytes: 3,
  modified_at: '2026-01-02T03:04:05.000Z',
};
const [whole, hurt] = ['a', 'b'].map((letter) =>
  aBackup({ id: `${letter}2222222-2222-4222-8222-222222222222`, name: letter }),
);

/** Two points in time, of which the second answers with `code`. */
async function twoPoints(code: string | undefined): Promise<void> {
  const answer =
    (result: unknown): Answer =>
    (reply, { backup }) => {
      if (backup === hurt?.id && code !== undefined) reply.fault(aFault(code));
      else reply.result(result);
    };
  await fake({
    'backup.list': (reply) => reply.result({ backups: [whole, hurt], next_marker: null }),
    'file.list': answer({ files: [file], next_position: null, file_system: { notes: [] } }),
    'file.show': answer(file),
  });
}

test.each(['find', 'history'])('file %s: all was looked into: 0', async (verb) => {
  await twoPoints(undefined);
  const { status, stdout, stderr } = await basaltctl('file', verb, 'web', 'hosts', '-f', 'json');
  expect([status, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toHaveLength(2);
});

test.each(['find', 'history'])(
  'file %s: what is left out is told, and decides the status; the rest is printed whole',
  async (verb) => {
    await twoPoints('FILESYSTEM_UNKNOWN');
    const { status, stdout, stderr } = await basaltctl('file', verb, 'web', 'hosts', '-f', 'json');
    expect(status).toBe(66);
    expect(JSON.parse(stdout)).toMatchObject([{ backup_id: whole?.id }]);
    const last = JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as object;
    expect(last).toMatchObject({ error: { code: 'FILESYSTEM_UNKNOWN', details: { left_out: [hurt?.id] } } });
    const text = await basaltctl('file', verb, 'web', 'hosts');
    expect(text.status).toBe(66);
    expect(text.stderr).toMatch(
      /^Left out backup "b"\nCannot do .*\n.*\n1 of 2 backups could not be looked into\.\n/,
    );
  },
);

test('file find: a folder that a backup does not have holds nothing there', async () => {
  await twoPoints('FILE_UNKNOWN');
  const some = await basaltctl('file', 'find', 'web', 'hosts', '--below', '/etc', '-f', 'json');
  expect([some.status, some.stderr]).toEqual([0, '']);
  expect(JSON.parse(some.stdout)).toMatchObject([{ path: '/etc/hosts', backup_id: whole?.id }]);
});

test('file find: a folder that no backup has is a mistake', async () => {
  await fake({
    'backup.list': (reply) => reply.result({ backups: [whole, hurt], next_marker: null }),
    'file.list': (reply) => reply.fault(aFault('FILE_UNKNOWN')),
  });
  const { status, stdout } = await basaltctl('file', 'find', 'web', 'hosts', '--below', '/ect');
  expect([status, stdout]).toEqual([66, '']);
});

test('file find: a daemon that goes away ends the search at once', async () => {
  await fake({
    'backup.list': (reply) => reply.result({ backups: [whole, hurt], next_marker: null }),
    'file.list': (reply) => reply.cutOff(),
  });
  const { status, stdout, stderr } = await basaltctl('file', 'find', 'web', 'hosts');
  expect([status, stdout]).toEqual([69, '']);
  expect(stderr).not.toContain('Left out');
});
