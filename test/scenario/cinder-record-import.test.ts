/** Cinder's exported records, taken up against a Cinder repository: what leads outside or does not fit is refused. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { type CinderRecord, decodeRecord, encodeRecord } from '../../daemon/format/cinder-record.ts';
import { type MadeBackup, makeChain } from '../support/cinder-chain.ts';
import { codeOfCall, Daemon } from '../support/daemon.ts';

const service = 'cinder.backup.drivers.nfs.NFSBackupDriver';
let folder: string;
let daemon: Daemon;
let made: MadeBackup[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'basalt-record-'));
  made = makeChain(folder, { compression: 'zlib', count: 2, seed: 2, size: 2 * MiB, shrink: false });
  daemon = await Daemon.start();
  await daemon.call('repository.add', { name: 'old', url: `cinder+file://${join(folder, 'repository')}` });
});
afterAll(async () => {
  await daemon.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** A record as short as Cinder takes it, changed where wanted. */
function record({ id, container, prefix }: MadeBackup, change: object = {}): string {
  const fields = {
    id,
    display_name: 'of cinder',
    display_description: null,
    container,
    size: 1,
    service_metadata: prefix,
  };
  const short = { ...fields, object_count: 1, ...change };
  return Buffer.from(JSON.stringify(short)).toString('base64');
}

test('records of a chain are taken up in any order, and the backups restored and given out again', async () => {
  const [full, next] = made as [MadeBackup, MadeBackup];
  const counted = (backup: MadeBackup) =>
    readFileSync(join(folder, 'repository', backup.container, `${backup.prefix}_metadata`), 'utf8').split(
      '"md5"',
    ).length - 1;
  for (const backup of [next, full]) {
    const url = record(backup, { object_count: counted(backup) });
    const imported = await daemon.call('backup.record.import', { service, url });
    expect(imported).toMatchObject({
      name: 'of cinder',
      volume_id: backup.volume_id,
      parent_id: backup.parent_id,
    });
    const target = join(folder, `${backup.id}.out`);
    await daemon.done(daemon.call('backup.restore', { backup: backup.id, target }));
    expect(readFileSync(target).equals(readFileSync(backup.image))).toBe(true);
  }
  const exported = await daemon.call('backup.record.export', { backup: full.id });
  expect(exported.backup_service).toBe(service);
  expect(decodeRecord(exported.backup_url)).toMatchObject({
    service_metadata: full.prefix,
    container: full.container,
    num_dependent_backups: 1,
    object_count: counted(full),
  } satisfies Partial<CinderRecord>);
  expect(encodeRecord(decodeRecord(exported.backup_url))).toBe(exported.backup_url);
});

test('what leads outside of the repository, or is not what is in it, is refused', async () => {
  const [full] = made as [MadeBackup];
  const other = await Daemon.start();
  try {
    await other.call('repository.add', { name: 'old', url: `cinder+file://${join(folder, 'repository')}` });
    for (const [change, code] of [
      [{ container: '../outside' }, 'RECORD_INVALID'],
      [{ container: '/etc' }, 'RECORD_INVALID'],
      [{ container: 'another' }, 'RECORD_INVALID'],
      [{ service_metadata: 'volume_x' }, 'RECORD_INVALID'],
      [{ object_count: 99 }, 'RECORD_INVALID'],
      [{ id: '00000000-0000-4000-8000-000000000009' }, 'MANIFEST_MISSING'],
    ] as const) {
      const call = other.call('backup.record.import', { service, url: record(full, change) });
      expect(await codeOfCall(call), JSON.stringify(change)).toBe(code);
    }
    expect((await other.call('backup.list', {})).backups).toEqual([]);
  } finally {
    await other.dispose();
  }
});
