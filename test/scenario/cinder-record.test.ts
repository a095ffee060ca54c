/** Records of backups, given out by one host and taken up by another. */

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CinderRecord, decodeRecord, encodeRecord } from '../../daemon/format/cinder-record.ts';
import { nativeService } from '../../daemon/format/record-service.ts';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { clientMain, startClient } from '../support/client.ts';
import { codeOfCall, Daemon } from '../support/daemon.ts';
import { run } from '../support/devices.ts';

const MiB = 2 ** 20;

interface Exported {
  readonly backup_service: string;
  readonly backup_url: string;
}

describe('two hosts with one repository', () => {
  let folder: string;
  let source: string;
  let here: Daemon;
  let there: Daemon;
  const images: string[] = [];
  const backups: BackupValue[] = [];
  let records: Exported[] = [];

  const exported = async (backup: BackupValue): Promise<Exported> =>
    here.call('backup.record.export', { backup: backup.id });
  /** The record of the first backup with some fields changed. */
  const recordWith = (change: Partial<Record<keyof CinderRecord, unknown>>): string =>
    encodeRecord({ ...decodeRecord(records[0]?.backup_url ?? ''), ...change } as CinderRecord);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'basalt-record-'));
    source = join(folder, 'volume.img');
    const repository = join(folder, 'repository');
    here = await Daemon.start({ repository });
    there = await Daemon.start({ repository, init: false });
    const bytes = Buffer.alloc(3 * MiB + 4096, 'basalt ');
    for (const round of [0, 1, 2]) {
      bytes.fill(`round ${round} `, round * MiB, round * MiB + 300_000);
      writeFileSync(source, bytes);
      if (round === 0) await here.addVolume('größe "web"', source);
      const name = ['mönday', null, 'wednesday'][round] ?? undefined;
      const started = await here.call('backup.create', {
        volume: 'größe "web"',
        incremental: round > 0,
        properties: { round: String(round) },
        ...(name === undefined ? {} : { name }),
      });
      await here.done(started);
      backups.push(await here.call('backup.show', { backup: started.backup.id }));
      images.push(join(folder, `${round}.img`));
      copyFileSync(source, images[round] ?? '');
    }
    records = await Promise.all(backups.map(exported));
  });

  afterAll(async () => {
    await here.dispose();
    await there.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a record has every field of Cinder with the values of the backup', () => {
    for (const [at, record] of records.entries()) {
      const backup = backups[at];
      const decoded = decodeRecord(record.backup_url);
      expect(record.backup_service).toBe(nativeService);
      expect(decoded).toMatchObject({
        id: backup?.id,
        volume_id: backup?.volume_id,
        parent_id: at === 0 ? null : backups[at - 1]?.id,
        size: 1,
        status: 'available',
        display_name: backup?.name,
        metadata: { round: String(at) },
        service: nativeService,
      });
      expect(decoded.data_timestamp).toBe(`${backup?.data_timestamp.slice(0, 19)}Z`);
    }
  });

  test('the client prints the titles of openstackclient in a table, and its keys for programs', async () => {
    const [backup] = backups;
    const table = await here.basaltctl('backup', 'record', 'export', backup?.id ?? '');
    expect(table.stdout).toMatch(/^\| Backup Service +\| basalt\./m);
    expect(table.stdout).toMatch(/^\| Metadata +\| eyJ/m);
    const json = await here.basaltctl('backup', 'record', 'export', backup?.id ?? '', '-f', 'json');
    expect(JSON.parse(json.stdout)).toEqual(records[0]);
    const valueOfUrl = ['-f', 'value', '-c', 'backup_url'];
    const value = await here.basaltctl('backup', 'record', 'export', backup?.id ?? '', ...valueOfUrl);
    expect(value.stdout).toBe(`${records[0]?.backup_url}\n`);
  });

  test('a backup that is not available has no record to export', async () => {
    const started = await here.call('backup.create', { volume: 'größe "web"', rate: 1 });
    const refused = await here.basaltctl('backup', 'record', 'export', started.backup.id);
    expect([refused.status, refused.stdout]).toEqual([75, '']);
    expect(refused.stderr).toContain(`Cannot export backup "${started.backup.id}": its status is "creating"`);
    await here.call('job.cancel', { job: started.job_id });
  });

  const refusals: readonly (readonly [
    what: string,
    status: number,
    sentence: RegExp,
    words: () => string[],
  ])[] = [
    [
      'an unknown service',
      66,
      /service "cinder.backup.drivers.tsm"/,
      () => ['cinder.backup.drivers.tsm', records[0]?.backup_url ?? ''],
    ],
    [
      'a service whose repository is not here',
      66,
      /PosixBackupDriver": there is no repository/,
      () => ['cinder.backup.drivers.posix.PosixBackupDriver', records[0]?.backup_url ?? ''],
    ],
    ['broken base64', 65, /no base64/, () => [nativeService, 'eyJ*']],
    [
      'half a record',
      65,
      /no (base64|JSON)/,
      () => [nativeService, (records[0]?.backup_url ?? '').slice(0, 400)],
    ],
    ['no JSON', 65, /no JSON/, () => [nativeService, Buffer.from('{"id": ').toString('base64')]],
    [
      'a missing field',
      65,
      /field "size" is missing/,
      () => [nativeService, Buffer.from('{"id": "x"}').toString('base64')],
    ],
    [
      'a foreign id',
      65,
      /is not in "file:/,
      () => [nativeService, recordWith({ id: '11111111-2222-4333-8444-555555555555' })],
    ],
    [
      'the id of one backup with the data of another',
      65,
      /"service_metadata" is not that of the backup/,
      () => [nativeService, recordWith({ id: backups[1]?.id })],
    ],
    ['another size', 65, /"size" is not that of the backup/, () => [nativeService, recordWith({ size: 7 })]],
    [
      'another volume',
      65,
      /"volume_id" is not that of the backup/,
      () => [nativeService, recordWith({ volume_id: '11111111-2222-4333-8444-555555555555' })],
    ],
    [
      'another parent',
      65,
      /"parent_id" is not that of the backup/,
      () => [nativeService, recordWith({ parent_id: '11111111-2222-4333-8444-555555555555' })],
    ],
    [
      'a size beyond the limits',
      65,
      /field "size" is wrong/,
      () => [nativeService, recordWith({ size: 2 ** 40 })],
    ],
    [
      'the place of no repository of ours',
      65,
      /"service_metadata" is none of a native repository/,
      () => [nativeService, recordWith({ service_metadata: '../../etc' })],
    ],
  ];

  test.each(refusals)('%s is refused clearly and leaves nothing', async (_, status, sentence, words) => {
    const ended = await there.basaltctl('backup', 'record', 'import', ...words());
    expect(ended.stderr).toMatch(sentence);
    expect([ended.status, ended.stdout, ended.stderr.trim().split('\n').length]).toEqual([status, '', 2]);
    expect((await there.call('backup.list', { all_projects: true })).backups).toEqual([]);
    expect((await there.call('status', {})).backups).toBe(0);
  });

  test('more text than any record has is refused', async () => {
    const huge = there.call('backup.record.import', { service: nativeService, url: 'A'.repeat(800_000) });
    expect(await codeOfCall(huge)).toBe('RECORD_INVALID');
  });

  test('a user who is no administrator neither exports nor imports', async () => {
    const words = ['backup', 'record', 'export', backups[0]?.id ?? ''];
    const asNobody = [
      '/usr/bin/setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      process.execPath,
      clientMain,
    ];
    run('chmod', 'o+x', here.folder, here.stateDir);
    run('chmod', 'o+rw', here.socketPath);
    const { status } = await startClient(words, {
      env: { BASALT_SOCKET: here.socketPath },
      program: asNobody,
    }).ended;
    expect(status).toBe(77);
  });

  test('a chain is imported in any order on a host with an empty catalog, and each backup restores', async () => {
    for (const at of [2, 0, 1]) {
      const { backup_service, backup_url } = records[at] ?? { backup_service: '', backup_url: '' };
      const ended = await there.basaltctl(
        'backup',
        'record',
        'import',
        backup_service,
        backup_url,
        '-f',
        'json',
      );
      expect([ended.stderr, ended.status]).toEqual(['', 0]);
      expect(JSON.parse(ended.stdout)).toEqual({ id: backups[at]?.id, name: backups[at]?.name });
    }
    for (const [at, backup] of backups.entries()) {
      const taken = await there.call('backup.show', { backup: backup.id });
      expect({ ...taken, updated_at: '' }).toEqual({ ...backup, updated_at: '' });
      const target = join(folder, `restored-${at}.img`);
      await there.done(there.call('backup.restore', { backup: backup.id, target }));
      expect(readFileSync(target).equals(readFileSync(images[at] ?? '')), `backup ${at}`).toBe(true);
    }
  });

  test('a record that is known already is refused, whatever project has it', async () => {
    const { backup_service: service, backup_url: url } = records[0] ?? { backup_service: '', backup_url: '' };
    for (const project of ['default', 'another']) {
      const again = there.call('backup.record.import', { service, url, project });
      expect(await codeOfCall(again)).toBe('ALREADY_EXISTS');
    }
    expect((await there.call('backup.list', { all_projects: true })).backups).toHaveLength(3);
  });

  test('a chain that was imported takes the next incremental', async () => {
    await there.addVolume('again', source).catch(() => undefined);
    await there.call('volume.remove', { volume: 'again' });
    await there.call('volume.add', { name: 'web', source, id: backups[0]?.volume_id ?? '' });
    const next = await there.backUp('web', true);
    expect([next.is_incremental, next.parent_id]).toEqual([true, backups[2]?.id]);
  });

  test('the same record twice at the same time is taken once, and its project survives a rebuild', async () => {
    await there.done(
      there.call('backup.delete', {
        backup: (await there.call('backup.list', { limit: 1 })).backups[0]?.id ?? '',
      }),
    );
    const fresh = await Daemon.start({ repository: here.repositoryDir, init: false });
    try {
      const { backup_service: service, backup_url: url } = records[1] ?? {
        backup_service: '',
        backup_url: '',
      };
      const both = [0, 1].map(() =>
        codeOfCall(fresh.call('backup.record.import', { service, url, project: 'mail' })),
      );
      expect((await Promise.all(both)).sort()).toEqual(['ALREADY_EXISTS', 'it succeeded']);
      await fresh.done(fresh.call('catalog.rebuild', {}));
      const kept = await fresh.call('backup.show', { backup: backups[1]?.id ?? '', project: 'mail' });
      expect(kept.project_id).toBe('mail');
    } finally {
      await fresh.dispose();
    }
  });

  test('the repository that a record names is found among those that were added, also after a restart', async () => {
    const fresh = await Daemon.start();
    try {
      await fresh.call('repository.add', { name: 'shared', url: `file://${here.repositoryDir}` });
      await fresh.stop();
      await fresh.start();
      const [record] = records;
      const taken = await fresh.call('backup.record.import', {
        service: record?.backup_service ?? '',
        url: record?.backup_url ?? '',
      });
      expect(taken.repository).toBe('shared');
    } finally {
      await fresh.dispose();
    }
  });

  test('an import beyond the quota of the project is refused, and a refused one eats none of it', async () => {
    const fresh = await Daemon.start({ repository: here.repositoryDir, init: false });
    try {
      await fresh.call('quota.set', { project: 'mail', backups: 1 });
      const of = (at: number) => ({
        service: records[at]?.backup_service ?? '',
        url: records[at]?.backup_url ?? '',
      });
      const used = async () => (await fresh.call('quota.usage', { project: 'mail' })).backups;
      const broken = { service: nativeService, url: recordWith({ size: 7 }), project: 'mail' };
      expect(await codeOfCall(fresh.call('backup.record.import', broken))).toBe('RECORD_INVALID');
      expect(await used()).toMatchObject({ in_use: 0, reserved: 0 });
      await fresh.call('backup.record.import', { ...of(0), project: 'mail' });
      expect(await codeOfCall(fresh.call('backup.record.import', { ...of(1), project: 'mail' }))).toBe(
        'OVER_QUOTA',
      );
      expect(await used()).toMatchObject({ in_use: 1, reserved: 0, limit: 1 });
    } finally {
      await fresh.dispose();
    }
  });

  test('the record comes from standard input too, with the line breaks that mail puts into it', async () => {
    const fresh = await Daemon.start({ repository: here.repositoryDir, init: false });
    try {
      const file = join(folder, 'record.txt');
      writeFileSync(file, (records[0]?.backup_url ?? '').replaceAll(/.{64}/g, '$&\n'));
      const program = ['/bin/sh', '-c', 'exec "$0" "$@" <"$RECORD"', process.execPath, clientMain];
      const env = { BASALT_SOCKET: fresh.socketPath, RECORD: file };
      const words = ['backup', 'record', 'import', nativeService, '-', '-f', 'json'];
      const ended = await startClient(words, { env, program }).ended;
      expect([ended.stderr, ended.status]).toEqual(['', 0]);
      expect(JSON.parse(ended.stdout)).toEqual({ id: backups[0]?.id, name: 'mönday' });
    } finally {
      await fresh.dispose();
    }
  });
});
