/** Volumes of LVM by name and in figures: what is read of URLs, of device-mapper and of lvs, and how much room a snapshot gets. */

import { describe, expect, test } from 'vitest';
import {
  formatVolumeUrl,
  mapIdOf,
  parseVolumeUrl,
  splitMapId,
  splitMapName,
} from '../../../../daemon/devices/connect/lvm/names.ts';
import { findVolume, type LogicalVolume } from '../../../../daemon/devices/connect/lvm/report.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';
import {
  fullExtents,
  givenUpFrom,
  growthOf,
  poolFlaw,
  roomFor,
} from '../../../../daemon/devices/snapshots/lvm-room.ts';
import { readPool, readThick } from '../../../../daemon/devices/snapshots/lvm-status.ts';
import { codeOf } from '../../../support/devices.ts';

const MiB = 2 ** 20;

test('URLs of volumes are read in every spelling, and written in one', () => {
  for (const text of ['lvm:vg0/shop', 'lvm:/vg0/shop', 'lvm:///vg0/shop', 'LVM:vg0/shop'])
    expect(formatVolumeUrl(parseVolumeUrl(text))).toBe('lvm:vg0/shop');
  expect(parseVolumeUrl('lvm:a.b+c_d-e/x--y')).toEqual({ group: 'a.b+c_d-e', volume: 'x--y' });
});

test.each([
  'lvm:vg0',
  'lvm:vg0/',
  'lvm:vg0/a/b',
  'lvm:-vg0/shop',
  'lvm:vg0/-shop',
  'lvm:vg0/--config',
  'lvm:../shop',
  'lvm:vg0/.',
  'lvm:vg 0/shop',
  'lvm:vg0/sh"op',
  'lvm:vg0/snapshot1',
  'lvm:vg0/pool_tmeta',
  'lvm:vg0/lvol0_pmspare',
  `lvm:vg0/${'x'.repeat(128)}`,
  'lvm://host/vg0/shop',
])('%s is no volume', async (text) => {
  expect(await codeOf(Promise.resolve().then(() => parseVolumeUrl(text)))).toBe('INVALID_ARGUMENT');
});

test('names and uuids of device-mapper lead to the volume, and those of its parts lead nowhere', () => {
  expect(splitMapName('my--group-a--volume')).toEqual({ group: 'my-group', volume: 'a-volume' });
  expect(splitMapName('vg0-pool_tdata')).toBe(undefined);
  expect(splitMapName('mpatha')).toBe(undefined);
  const uuid = 'LVM-Uq5OmJMVK22bRi3KN20WfFVae5GFbw6bglpbAt23LHIzs2O2excCABWWjjVeySml';
  const ids = {
    groupId: 'Uq5OmJ-MVK2-2bRi-3KN2-0WfF-Vae5-GFbw6b',
    volumeId: 'glpbAt-23LH-Izs2-O2ex-cCAB-WWjj-VeySml',
  };
  expect(splitMapId(uuid)).toEqual(ids);
  expect(mapIdOf(ids)).toBe(uuid);
  expect(mapIdOf(ids, 'tpool')).toBe(`${uuid}-tpool`);
  for (const part of ['real', 'cow', 'tpool', 'tmeta']) expect(splitMapId(`${uuid}-${part}`)).toBe(undefined);
  expect(splitMapId('mpath-360014050000000000000000000000001')).toBe(undefined);
});

/** A row as lvs 2.03 prints it with --binary. */
const row = {
  vg_name: 'vg0',
  vg_uuid: 'Uq5OmJ-MVK2-2bRi-3KN2-0WfF-Vae5-GFbw6b',
  lv_name: 'shop',
  lv_uuid: 'glpbAt-23LH-Izs2-O2ex-cCAB-WWjj-VeySml',
  lv_layout: 'linear',
  lv_role: 'public',
  lv_size: String(64 * MiB),
  origin: '',
  origin_size: '0',
  pool_lv: '',
  lv_tags: '',
  lv_kernel_major: '254',
  lv_kernel_minor: '0',
  lv_device_open: '1',
  data_percent: '',
  metadata_percent: '',
  thin_id: '',
  lv_snapshot_invalid: '-1',
  lv_health_status: '',
  vg_extent_size: String(4 * MiB),
  vg_free_count: '100',
  origin_uuid: '',
  pool_lv_uuid: '',
  transaction_id: '',
  lv_permissions: 'writeable',
};

type Run = Awaited<ReturnType<Tools['run']>>;

/** Programs that answer with each of the texts in turn; a number is the status of one that fails. */
function tools(...answers: readonly (string | number | null)[]): { tools: Tools; words: string[][] } {
  const words: string[][] = [];
  let turn = 0;
  const run = (_program: string, given: readonly string[]): Promise<Run> => {
    words.push([...given]);
    const answer = answers[Math.min(turn++, answers.length - 1)];
    const failed = typeof answer !== 'string';
    return Promise.resolve({
      status: failed ? (answer ?? null) : 0,
      stdout: failed ? '' : answer,
      stderr: failed ? 'it went wrong' : '',
      timedOut: false,
      complaint: failed ? 'it went wrong' : '',
    });
  };
  return {
    words,
    tools: {
      run,
      output: () => Promise.reject(new Error('not asked for')),
      find: () => Promise.resolve(undefined),
    },
  };
}

const report = (...rows: readonly object[]): string => JSON.stringify({ report: [{ lv: rows }] });
const name = { group: 'vg0', volume: 'shop' };

async function read(more: Partial<typeof row>): Promise<LogicalVolume> {
  const found = await findVolume(tools(report({ ...row, ...more })).tools, name);
  if (found === undefined) throw new Error('it is not found');
  return found;
}

describe('lvs', () => {
  test('is asked of one group, changes nothing, and looks into no volume', async () => {
    const asked = tools(report(row));
    expect(await findVolume(asked.tools, name)).toMatchObject({
      kind: 'thick',
      number: '254:0',
      open: true,
      unusable: undefined,
      sizeBytes: 64 * MiB,
      extents: 16,
    });
    const [words = []] = asked.words;
    expect(words.at(-1)).toBe('vg0');
    expect(words).toContain('devices/scan_lvs=0 global/metadata_read_only=1');
    expect(await findVolume(tools(report()).tools, name)).toBe(undefined);
  });

  test('is asked again where it crashes, three times at most, and never where it fails', async () => {
    const healed = tools(null, 139, report(row));
    expect((await findVolume(healed.tools, name))?.volume).toBe('shop');
    const crashing = tools(139);
    expect(await codeOf(findVolume(crashing.tools, name))).toBe('TOOL_FAILED');
    expect(crashing.words).toHaveLength(3);
    const failing = tools(5);
    expect(await codeOf(findVolume(failing.tools, name))).toBe('TOOL_FAILED');
    expect(failing.words).toHaveLength(1);
  });

  test('that fails is told of with the reason, which it prints first', async () => {
    const stderr =
      '  WARNING: VG vg1 was last updated\n  Volume group "vg0" not found\n  Cannot process volume group vg0\n';
    const ended = {
      status: 5,
      stdout: '',
      stderr,
      timedOut: false,
      complaint: 'Cannot process volume group vg0',
    };
    const failing = { ...tools().tools, run: () => Promise.resolve(ended) };
    await expect(findVolume(failing, name)).rejects.toThrow('"lvs" failed: Volume group "vg0" not found');
  });

  test.each(['', '{', '{"report":[]}', report({ lv_name: 'shop' }), report({ ...row, lv_size: 'big' })])(
    'that prints %s is not believed',
    async (text) => {
      expect(await codeOf(findVolume(tools(text).tools, name))).toBe('TOOL_FAILED');
    },
  );

  test('shows what is off, what is a snapshot, and what nobody may use', async () => {
    expect((await read({ lv_kernel_major: '-1', lv_kernel_minor: '-1' })).number).toBe(null);
    const snapshot = { origin: 'shop', origin_size: String(64 * MiB), lv_size: String(8 * MiB) };
    expect(await read({ ...snapshot, lv_snapshot_invalid: '0' })).toMatchObject({
      sizeBytes: 64 * MiB,
      extents: 2,
      unusable: undefined,
    });
    expect((await read({ ...snapshot, lv_snapshot_invalid: '1' })).unusable).toMatch(
      /room for changes has run out/,
    );
    expect(await read({ lv_layout: 'thin,sparse', pool_lv: 'pool' })).toMatchObject({
      kind: 'thin',
      pool: 'pool',
    });
    expect((await read({ lv_layout: 'thin,pool', lv_role: 'private' })).unusable).toMatch(/pool/);
    expect((await read({ lv_name: '[x]', lv_role: 'private' })).unusable).toMatch(/part/);
    expect((await read({ lv_health_status: 'partial' })).unusable).toMatch(/missing/);
  });
});

describe('room', () => {
  const all = { snapshotPercent: 100, poolPercentMax: 90 };

  test('a snapshot gets what it can need at most, or what the settings say, or most of what there is', async () => {
    // A list of 256 copies takes a chunk: 64 MiB need a little more than 64 MiB.
    expect(fullExtents(64 * MiB, 4 * MiB)).toBe(17);
    expect(roomFor(await read({}), all)).toBe(17);
    expect(roomFor(await read({}), { ...all, snapshotPercent: 25 })).toBe(5);
    expect(roomFor(await read({ vg_free_count: '8' }), all)).toBe(6);
    expect(roomFor(await read({ vg_free_count: '1' }), all)).toMatch(/too little room: 4194304 bytes/);
  });

  test('a snapshot that fills is doubled, but never beyond what it can need or what there is', async () => {
    const snapshot = { origin: 'shop', origin_size: String(64 * MiB) };
    const growth = async (extents: number, free: number) =>
      growthOf(await read({ ...snapshot, lv_size: String(extents * 4 * MiB), vg_free_count: String(free) }));
    expect(await growth(4, 100)).toBe(4);
    expect(await growth(12, 100)).toBe(5);
    expect(await growth(4, 3)).toBe(3);
    expect(await growth(17, 100)).toBe(0);
  });

  test('a pool is too full by its data or its metadata', async () => {
    const flaw = async (data: string, metadata: string) =>
      poolFlaw(await read({ data_percent: data, metadata_percent: metadata }), all);
    expect(await flaw('89.99', '10.00')).toBe(undefined);
    expect(await flaw('90.00', '10.00')).toMatch(/^the data of thin pool/);
    expect(await flaw('10.00', '95.00')).toMatch(/^the metadata of thin pool/);
    expect(await flaw('', '')).toMatch(/does not say/);
    expect(givenUpFrom(all)).toBe(95);
  });

  test('what dmsetup says of snapshots and pools is understood, and what it does not say is not made up', () => {
    const words = (text: string) => text.split(' ');
    expect(readThick(words('snapshot 16/64 16'))).toEqual({ room: 'fits', percent: 25 });
    for (const word of ['Invalid', 'Overflow'])
      expect(readThick(words(`snapshot ${word}`)).room).toBe('lost');
    for (const text of ['snapshot', 'snapshot 1/0', 'linear', 'snapshot-merge 1/2'])
      expect(readThick(words(text)).room).toBe('unknown');
    const pool = 'thin-pool 2 112/1024 320/3200 - rw discard_passdown queue_if_no_space - 256';
    expect(readPool(words(pool))).toEqual({ room: 'fits', percent: 10.9375 });
    expect(readPool(words(pool.replace(' rw ', ' out_of_data_space '))).room).toBe('lost');
    expect(readPool(words('thin-pool Fail')).room).toBe('lost');
    expect(readPool(words('thin 0 -')).room).toBe('unknown');
  });
});
