/** Bits that flip and files that go: who is hit is told exactly, and nobody else is. */

import { closeSync, existsSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { JobValue, RangeValue } from '../../daemon/protocol/values.ts';
import { codeOfCall, type Daemon } from '../support/daemon.ts';
import { readFully } from '../support/devices.ts';
import {
  addNoise,
  blockBytes,
  daemonForTest,
  expectRestores,
  flipBlock,
  leftovers,
  MiB,
  packsOf,
  sourceOf,
} from '../support/fault-world.ts';
import { firstDifference, noise } from '../support/volume-model.ts';

const slotBytes = 256 * 1024;

interface Damage {
  damaged?: RangeValue[];
  damaged_backups?: { backup_id: string; ranges: RangeValue[] }[];
  damaged_manifests?: { key: string }[];
}

const damageOf = (job: JobValue): Damage => job.result ?? {};
const plain = (ranges: readonly RangeValue[] = []): RangeValue[] =>
  ranges.map(({ offset, length }) => ({ offset, length }));

/** Two volumes that share nothing, a backup of each, in packs of their own. */
async function twoBackups() {
  const daemon = await daemonForTest();
  const bytes = await addNoise(daemon, 'hit', 5 * MiB + 1000, 1);
  const others = await addNoise(daemon, 'spared', 3 * MiB, 2);
  const { id: spared } = await daemon.backUp('spared');
  const before = packsOf(daemon);
  const hit = await daemon.backUp('hit');
  const packs = packsOf(daemon).filter((path) => !before.includes(path));
  return { daemon, bytes, hit, spared, others, packs };
}

const block = (bytes: Buffer, number: number): Buffer =>
  bytes.subarray(number * blockBytes, (number + 1) * blockBytes);

async function expectNotRestorable(daemon: Daemon, backup: string): Promise<void> {
  const target = join(daemon.folder, 'refused.out');
  const ended = await daemon.basaltctl('backup', 'restore', backup, target, '--wait');
  expect(ended.status).toBe(65);
  expect(leftovers(daemon.folder)).toEqual([]);
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
}

/** Reads the image in the view slot by slot: EIO in the slots that hold damage, right bytes everywhere else. */
function expectViewDamage(path: string, bytes: Buffer, damaged: readonly RangeValue[]): void {
  const file = openSync(path, 'r');
  try {
    for (let at = 0; at < bytes.length; at += slotBytes) {
      const end = Math.min(at + slotBytes, bytes.length);
      const isHit = damaged.some(({ offset, length }) => offset < end && offset + length > at);
      let read: Buffer | string;
      try {
        read = readFully(file, end - at, at);
      } catch (thrown) {
        read = (thrown as NodeJS.ErrnoException).code ?? String(thrown);
      }
      if (typeof read === 'string') expect([at, read]).toEqual([at, isHit ? 'EIO' : 'whole']);
      else expect([at, isHit, firstDifference(read, bytes.subarray(at, end))]).toEqual([at, false, -1]);
    }
  } finally {
    closeSync(file);
  }
}

async function expectDamage(daemon: Daemon, backup: string, damaged: RangeValue[], readData: boolean) {
  const verified = await daemon.failed(daemon.call('backup.verify', { backup }), 'FOUND_DAMAGE');
  expect(plain(damageOf(verified).damaged)).toEqual(damaged);
  const check = await daemon.failed(daemon.call('repository.check', { read_data: readData }), 'FOUND_DAMAGE');
  const { damaged_backups: backups } = damageOf(check);
  expect(backups?.map(({ backup_id, ranges }) => [backup_id, plain(ranges)])).toEqual([[backup, damaged]]);
}

test('flipped bits damage exactly their blocks, and the next backup of the same bytes mends them', async () => {
  const { daemon, bytes, hit, spared, others } = await twoBackups();
  for (const number of [3, 4, 40, 80]) flipBlock(daemon, block(bytes, number));
  const damaged = [
    { offset: 3 * blockBytes, length: 2 * blockBytes },
    { offset: 40 * blockBytes, length: blockBytes },
    { offset: 80 * blockBytes, length: bytes.length - 80 * blockBytes },
  ];
  // Neighbours whose reasons differ are told one by one.
  const apart = [
    { offset: 3 * blockBytes, length: blockBytes },
    { offset: 4 * blockBytes, length: blockBytes },
    ...damaged.slice(1),
  ];
  await expectDamage(daemon, hit.id, apart, true);
  await expectNotRestorable(daemon, hit.id);
  expectViewDamage(await daemon.imageOf(hit), bytes, damaged);
  await expectRestores(daemon, spared, others);
  await daemon.done(daemon.call('backup.verify', { backup: spared }));
  await daemon.backUp('hit');
  await daemon.done(daemon.call('backup.verify', { backup: hit.id }));
  await expectRestores(daemon, hit.id, bytes);
});

test('a missing pack damages the backups that need it, and no others', async () => {
  const { daemon, bytes, hit, spared, others, packs } = await twoBackups();
  for (const path of packs) rmSync(path);
  await expectDamage(daemon, hit.id, [{ offset: 0, length: bytes.length }], false);
  await expectNotRestorable(daemon, hit.id);
  expectViewDamage(await daemon.imageOf(hit), bytes, [{ offset: 0, length: bytes.length }]);
  await expectRestores(daemon, spared, others);
  await daemon.done(daemon.call('backup.verify', { backup: spared }));
  const again = await daemon.backUp('hit');
  await expectRestores(daemon, again.id, bytes);
  await expectRestores(daemon, hit.id, bytes);
});

test('a truncated pack damages what was behind the cut', async () => {
  const { daemon, bytes, hit, spared, others, packs } = await twoBackups();
  const [pack = ''] = packs;
  const cut = readFileSync(pack).length - MiB;
  truncateSync(pack, cut);
  const verified = await daemon.failed(daemon.call('backup.verify', { backup: hit.id }), 'FOUND_DAMAGE');
  const { damaged_bytes: damagedBytes } = verified.result as { damaged_bytes: number };
  expect(damagedBytes).toBeGreaterThan(0);
  const check = await daemon.failed(daemon.call('repository.check', {}), 'FOUND_DAMAGE');
  expect(damageOf(check).damaged_backups?.map(({ backup_id }) => backup_id)).toEqual([hit.id]);
  await expectNotRestorable(daemon, hit.id);
  expectViewDamage(await daemon.imageOf(hit), bytes, damageOf(verified).damaged ?? []);
  await expectRestores(daemon, spared, others);
});

test.each(['flipped', 'missing'])(
  'a manifest that is %s takes its backup only, and check names it',
  async (what) => {
    const { daemon, hit, spared, others } = await twoBackups();
    const path = join(daemon.repositoryDir, 'manifests', `${hit.id}.json`);
    if (what === 'missing') rmSync(path);
    else {
      const text = readFileSync(path);
      text[50] = (text[50] ?? 0) ^ 1;
      writeFileSync(path, text);
    }
    const code = what === 'missing' ? 'MANIFEST_MISSING' : 'MANIFEST_CORRUPT';
    await daemon.failed(daemon.call('backup.verify', { backup: hit.id }), code);
    const target = join(daemon.folder, 'refused.out');
    expect(await codeOfCall(daemon.call('backup.restore', { backup: hit.id, target }))).toBe(code);
    expect(existsSync(target)).toBe(false);
    expect((await daemon.basaltctl('backup', 'restore', hit.id, target, '--wait')).status).toBe(65);
    const check = await daemon.failed(daemon.call('repository.check', {}), 'FOUND_DAMAGE');
    expect(damageOf(check).damaged_manifests?.map(({ key }) => key)).toEqual([`manifests/${hit.id}.json`]);
    await expectRestores(daemon, spared, others);
    await daemon.done(daemon.call('backup.delete', { backup: hit.id }));
    await daemon.done(daemon.call('repository.check', { read_data: true }));
  },
);

test('a restore to an existing file that meets damage says so, and the volume is marked', async () => {
  const { daemon, bytes, hit } = await twoBackups();
  const content = noise(bytes.length, 9);
  writeFileSync(sourceOf(daemon, 'target'), content);
  await daemon.addVolume('target', sourceOf(daemon, 'target'));
  flipBlock(daemon, block(bytes, 70));
  const order = { backup: hit.id, target: 'target', force: true };
  await daemon.failed(daemon.call('backup.restore', order), 'CHUNK_CORRUPT');
  expect(await daemon.call('volume.show', { volume: 'target' })).toMatchObject({ status: 'error_restoring' });
  const after = readFileSync(sourceOf(daemon, 'target'));
  // Nothing that was not verified was written.
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const now = after.subarray(at, at + blockBytes);
    const isOneOfBoth =
      now.equals(bytes.subarray(at, at + blockBytes)) || now.equals(content.subarray(at, at + blockBytes));
    expect([at, isOneOfBoth]).toEqual([at, true]);
  }
});
