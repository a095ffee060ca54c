/** Incremental backups that are told what changed: right hints, wrong ones, and what is no hint at all. */

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import {
  addNoise,
  blockBytes,
  daemonForTest,
  expectRestores,
  MiB,
  sourceOf,
} from '../support/fault-world.ts';

/** Writes noise to the source and to the bytes it is known by. */
function change(daemon: Daemon, bytes: Buffer, at: number, length: number): void {
  const noise = randomBytes(length);
  noise.copy(bytes, at);
  const file = openSync(sourceOf(daemon, 'v'), 'r+');
  writeSync(file, noise, 0, length, at);
  closeSync(file);
}

const hinted = (daemon: Daemon, changed_extents: [number, number][]) =>
  daemon.call('backup.create', { volume: 'v', incremental: true, changed_extents });

const spooled = (daemon: Daemon): string[] => {
  const folder = join(daemon.stateDir, 'hints');
  return existsSync(folder) ? readdirSync(folder) : [];
};

test('what did not change is not read, and the backup gives back every byte', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 40 * MiB + 700, 1);
  await daemon.backUp('v');
  change(daemon, bytes, 3 * MiB + 5, 10);
  change(daemon, bytes, 39 * MiB - 1000, 2000);
  const right = await hinted(daemon, [
    [3 * MiB + 5, 10],
    [39 * MiB - 1000, 2000],
  ]);
  const { result } = await daemon.done(right);
  const kept_bytes = bytes.length - 3 * blockBytes;
  expect(result).toMatchObject({
    hints: 'used',
    kept_bytes,
    compared_blocks: 64,
    read_bytes: 3 * blockBytes,
  });
  await expectRestores(daemon, right.backup.id, bytes);
  const none = await hinted(daemon, []);
  expect((await daemon.done(none)).result).toMatchObject({ read_bytes: 0, kept_bytes: bytes.length });
  await expectRestores(daemon, none.backup.id, bytes);
  expect((await daemon.call('backup.show', { backup: none.backup.id })).root_digest).toBe(
    (await daemon.backUp('v')).root_digest,
  );
  expect(spooled(daemon)).toEqual([]);
});

test('hints that leave out what changed are found out, and everything is read', async () => {
  const daemon = await daemonForTest({ memoryLimit: '64MiB' });
  const bytes = await addNoise(daemon, 'v', 60 * MiB, 2);
  await daemon.backUp('v');
  // A tenth of the blocks: that none of 64 is among them has a chance of one in 800.
  for (let at = 0; at < bytes.length; at += 10 * blockBytes) change(daemon, bytes, at, blockBytes);
  let ended = await hinted(daemon, []);
  let { result } = await daemon.done(ended);
  if (result?.['hints'] === 'used') {
    ended = await hinted(daemon, []);
    ({ result } = await daemon.done(ended));
  }
  expect(result).toMatchObject({
    hints: 'mismatch, read everything',
    kept_bytes: 0,
    read_bytes: bytes.length,
  });
  await expectRestores(daemon, ended.backup.id, bytes);
  // The next one starts from what is right.
  change(daemon, bytes, 0, 1);
  const next = await hinted(daemon, [[0, 1]]);
  expect((await daemon.done(next)).result).toMatchObject({ hints: 'used', read_bytes: blockBytes });
  await expectRestores(daemon, next.backup.id, bytes);
});

test('zeros that are said to be still there are compared too', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', MiB, 3);
  truncateSync(sourceOf(daemon, 'v'), 32 * MiB);
  await daemon.backUp('v');
  const whole = Buffer.concat([bytes, Buffer.alloc(31 * MiB)]);
  change(daemon, whole, 2 * MiB, 29 * MiB);
  const wrong = await hinted(daemon, []);
  expect((await daemon.done(wrong)).result).toMatchObject({ hints: 'mismatch, read everything' });
  await expectRestores(daemon, wrong.backup.id, whole);
});

test('what is no list of changes since the parent is refused, and leaves nothing behind', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 3 * MiB, 4);
  const first = await daemon.backUp('v');
  const second = await daemon.backUp('v', true);
  const lists: [number, number][][] = [
    [[-1, 5]],
    [[0, 0]],
    [[0, -5]],
    [
      [10, 5],
      [14, 5],
    ],
    [
      [10, 5],
      [0, 5],
    ],
    [[bytes.length - 1, 2]],
    [[bytes.length, 1]],
    [[2 ** 53 - 1, 1]],
    [[0.5, 1]],
    [[0, 1, 2] as unknown as [number, number]],
    Array.from({ length: 16_385 }, (_none, at) => [at, 1]),
  ];
  for (const list of lists) expect(await codeOfCall(hinted(daemon, list))).toBe('INVALID_ARGUMENT');
  const order = { volume: 'v', changed_extents: [] };
  expect(await codeOfCall(daemon.call('backup.create', order))).toBe('INVALID_ARGUMENT');
  const since = (changed_since: string) =>
    daemon.call('backup.create', { ...order, incremental: true, changed_since });
  expect(await codeOfCall(since(first.id))).toBe('INVALID_ARGUMENT');
  expect(await codeOfCall(since('nobody'))).toBe('BACKUP_UNKNOWN');
  const alone = { volume: 'v', incremental: true, changed_since: second.id };
  expect(await codeOfCall(daemon.call('backup.create', alone))).toBe('INVALID_ARGUMENT');
  expect(spooled(daemon)).toEqual([]);
  expect((await daemon.call('backup.list', {})).backups).toHaveLength(2);
  expect((await daemon.done(since(second.id))).result).toMatchObject({ hints: 'used' });
});

test('basaltctl takes the list from a file, and says what came of it', async () => {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'v', 2 * MiB, 5);
  await daemon.backUp('v');
  change(daemon, bytes, 70_000, 10);
  const list = join(daemon.folder, 'changes.json');
  writeFileSync(list, '[{"offset":70000,"length":10,"exists":"true"}]');
  const words = ['backup', 'create', 'v', '--incremental', '--changed-extents', list, '--wait', '-f', 'json'];
  const ended = await daemon.basaltctl(...words);
  expect(ended.status).toBe(0);
  expect(ended.stderr).toContain('Changed extents: used; 1.9 MiB not read');
  const { id, read_bytes } = JSON.parse(ended.stdout) as { id: string; read_bytes: number };
  expect(read_bytes).toBe(blockBytes);
  await expectRestores(daemon, id, bytes);
  writeFileSync(list, '5 5\n1 1\n');
  expect(await daemon.basaltctl(...words)).toMatchObject({ status: 64, stdout: '' });
  expect(await daemon.basaltctl('backup', 'create', 'v', '--changed-extents', '/nowhere')).toMatchObject({
    status: 64,
  });
});

test('a daemon that was killed leaves no list behind', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 8 * MiB, 6);
  await daemon.backUp('v');
  const order = { volume: 'v', incremental: true, rate: 100_000 };
  await daemon.call('backup.create', { ...order, changed_extents: [[0, 8 * MiB]] });
  expect(spooled(daemon)).toHaveLength(1);
  await daemon.kill();
  await daemon.start();
  expect(spooled(daemon)).toEqual([]);
});
