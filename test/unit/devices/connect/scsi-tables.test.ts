/** The tables of decisions about SCSI paths: states, WWIDs, identities, journals, and the fault of an attach with too few ways. */

import { expect, test } from 'vitest';
import type { Built } from '../../../../daemon/devices/connect/connector.ts';
import { readIscsiBuilt } from '../../../../daemon/devices/connect/iscsi/built.ts';
import { checkWwid, readPaths, whyNot } from '../../../../daemon/devices/connect/multipath/client.ts';
import { fits } from '../../../../daemon/devices/connect/multipath/join.ts';
import { tooFew } from '../../../../daemon/devices/connect/scsi/assemble.ts';
import { Ledger, put, type ScsiBuilt } from '../../../../daemon/devices/connect/scsi/built.ts';
import type { ScsiDisk } from '../../../../daemon/devices/connect/scsi/disks.ts';
import { checkOne } from '../../../../daemon/devices/connect/scsi/identify.ts';
import { pathState, type Seen } from '../../../../daemon/devices/connect/scsi/look.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';

const disk = (state: string): ScsiDisk => ({
  address: { host: 1, channel: 0, target: 0, lun: 1 },
  name: 'sdb',
  device: '/dev/sdb',
  number: '8:16',
  folder: '/sys/block/sdb',
  sequence: '9',
  state,
});
const identity = { names: ['naa.1'], serial: null, sizeBytes: 1, blockBytes: 512 };
const known = (mapState: string, checked: string, map = 'm') => ({
  name: 'sdb',
  wwid: 'w',
  mapState,
  checked,
  map,
});

test.each<[string, Partial<Seen>, ReturnType<typeof known> | undefined, string]>([
  ['no disk', { disk: undefined }, undefined, 'missing'],
  ['one that answers', {}, undefined, 'active'],
  ['one that does not answer', { identity: null }, undefined, 'failed'],
  ['offline for the kernel', { disk: disk('offline') }, undefined, 'failed'],
  ['blocked', { disk: disk('blocked') }, undefined, 'failed'],
  ['in the map', {}, known('active', 'ready'), 'active'],
  ['standing by in the map', {}, known('active', 'ghost'), 'ghost'],
  ['failed in the map', {}, known('failed', 'ready'), 'failed'],
  ['found faulty', {}, known('active', 'faulty'), 'failed'],
  ['known, in no map', {}, known('undef', 'ready', '[orphan]'), 'unknown'],
])('a path: %s', (_name, seen, path, expected) => {
  expect(pathState({ via: 'v', disk: disk('running'), identity, ...seen }, path)).toBe(expected);
});

test('what multipathd prints is read line by line, and "ok" is none', () => {
  expect(readPaths('sdb|3600|active|ready|m\nok\n sda | |undef|undef|[orphan]\n')).toEqual([
    { name: 'sdb', wwid: '3600', mapState: 'active', checked: 'ready', map: 'm' },
    { name: 'sda', wwid: '', mapState: 'undef', checked: 'undef', map: '[orphan]' },
  ]);
});

test.each([
  ['3600a', ['naa.600a'], true],
  ['3600A', ['naa.600a'], true],
  ['3600b', ['naa.600a'], false],
  ['20025', ['eui.0025'], true],
  ['20026', ['eui.0025'], false],
  ['1LIO-ORG_x', ['naa.600a'], true],
  ['3600a', ['t10.x'], true],
])('WWID %s over %j: %s', (wwid, names, expected) => {
  expect(fits(wwid, { names, serial: null })).toBe(expected);
});

test.each(['-a', '3600 1', '../x', '', '3600/1'])('"%s" is no WWID', (text) => {
  expect(() => checkWwid(text)).toThrow(expect.objectContaining({ code: 'DEVICE_FAILED' }));
});

const tools = (stdout: string, status: number): Tools => {
  const complaint = stdout === '' ? 'Command failed: multipathd show status' : stdout;
  const run: Tools['run'] = async () => ({ status, stdout, stderr: '', timedOut: false, complaint });
  return { run, output: async () => '', find: async (program) => `/usr/sbin/${program}` };
};

test.each([
  ['path checker states:\n', 0, undefined],
  ['error receiving packet\n', 0, 'multipathd does not run: error receiving packet'],
  ['cannot connect', 1, 'multipathd does not run: cannot connect'],
  ['', 1, 'multipathd does not run: no answer'],
])('a multipathd that says %j with status %i', async (said, status, expected) => {
  const folders = { sys: '/none', dev: '/none', etc: '/none' };
  const found = await whyNot({ tools: tools(said, status), folders });
  expect(found?.why).toBe(expected);
  expect(found?.remedy).toBe(expected === undefined ? undefined : 'Start it: systemctl start multipathd');
});

test('ways to one volume, to two, and to one that was not wanted', () => {
  const way = (via: string, ...names: string[]) => ({ via, identity: { names, serial: null } });
  expect(() => checkOne('u', [way('a', 'naa.1', 't10.x'), way('b', 'naa.1')], null)).not.toThrow();
  expect(() => checkOne('u', [way('a', 'naa.1'), way('b', 'naa.2')], null)).toThrow(
    /different volumes: by way of b/,
  );
  expect(() => checkOne('u', [way('a', 'naa.2')], { names: ['naa.1'], serial: null })).toThrow(/by way of a/);
  expect(() => checkOne('u', [way('a'), way('b')], null)).toThrow(/nothing shows/);
  expect(() => checkOne('u', [way('a')], null)).not.toThrow();
});

test('too few ways: refused by the storage, nothing at all, or some', () => {
  const trouble = (denied: boolean) => ({ via: 'p', why: 'w', denied });
  expect(tooFew('u', 0, 1, [trouble(true), trouble(false)])).toMatchObject({ code: 'ATTACH_DENIED' });
  expect(tooFew('u', 0, 1, [trouble(false)])).toMatchObject({
    code: 'ATTACH_FAILED',
    message: expect.stringContaining('p: w'),
  });
  expect(tooFew('u', 1, 2, [trouble(true)])).toMatchObject({ code: 'ATTACH_FAILED' });
});

test('a damaged journal is read to nothing that could be undone', () => {
  const nothing = { boot: '', ways: [], map: null, identity: null, sessions: [] };
  expect(readIscsiBuilt({})).toEqual(nothing);
  expect(
    readIscsiBuilt({ boot: 5, ways: 'x', map: [], identity: 1, sessions: [1, {}, { portal: 'p' }] }),
  ).toEqual(nothing);
  expect(
    readIscsiBuilt({
      ways: [
        { place: 1, made: true },
        { place: {}, made: 'yes' },
      ],
    }).ways,
  ).toEqual([{ place: {}, via: '', made: false, sequence: null }]);
});

test('changes of a journal follow one another, and where one can not be written nothing goes on', async () => {
  const written: unknown[] = [];
  let fails = false;
  const journal = async (built: Built) => {
    if (fails) throw new Error('disk full');
    written.push(
      readIscsiBuilt(built)
        .ways.map(({ via }) => via)
        .join(),
    );
  };
  const empty: ScsiBuilt = { boot: 'b', ways: [], map: null, identity: null };
  const ledger = new Ledger({ journal }, empty);
  const way = (via: string) => ({ place: {}, via, made: true, sequence: null });
  const add = (via: string) =>
    ledger.change((value) => ({ ...value, ways: put(value.ways, way(via), (one) => one.via === via) }));
  await Promise.all([add('a'), add('b'), add('a')]);
  fails = true;
  await expect(add('c')).rejects.toThrow('disk full');
  fails = false;
  await expect(add('d')).rejects.toThrow('disk full');
  expect(() => ledger.requireWhole()).toThrow('disk full');
  expect(written).toEqual(['a', 'a,b', 'a,b']);
});
