/** What connectors need of a host: found, missing, too old, not allowed. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemFolders } from '../../../../daemon/devices/connect/connector.ts';
import { connectors } from '../../../../daemon/devices/connect/connectors.ts';
import { packageNeeds } from '../../../../daemon/devices/connect/packages.ts';
import { isAtLeast, readinessOf, warningsOf } from '../../../../daemon/devices/connect/requirements.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';
import { folderForTest } from '../../../support/devices.ts';

/** A host that has these programs, each with what it says of its version. */
function hostWith(programs: Readonly<Record<string, string>>): Tools {
  return {
    find: async (program) => (program in programs ? `/sbin/${program}` : undefined),
    run: async (program) => {
      const stdout = programs[program] ?? '';
      return { status: 0, stdout, stderr: '', timedOut: false, complaint: '' };
    },
    output: async () => '',
  };
}

const iscsi = { kind: 'iscsi', needs: ['open-iscsi', 'multipath-tools'] };
const whole = {
  iscsiadm: 'iscsiadm version 2.1.8',
  multipath: 'multipath-tools v0.9.4 (12/19, 2022)',
  multipathd: '',
};

async function lacksOf(tools: Tools, versions = true): Promise<readonly string[]> {
  const ready = await readinessOf({ tools, folders: systemFolders, versions }, [iscsi]);
  return ready.connectors[0]?.missing ?? ['no line'];
}

test('a host that has everything lacks nothing', async () => {
  expect(await lacksOf(hostWith(whole))).toEqual([]);
});

test('a missing program is named with its package', async () => {
  const { multipathd: _none, multipath: _neither, ...rest } = whole;
  expect(await lacksOf(hostWith(rest))).toEqual([
    '"multipath" and "multipathd" of the Debian package multipath-tools not found',
  ]);
});

test('a program that is too old is named, unless versions are not asked for', async () => {
  const old = hostWith({ ...whole, iscsiadm: 'iscsiadm version 2.0-874' });
  expect(await lacksOf(old)).toEqual(['"iscsiadm" is of version 2.0, older than 2.1.0']);
  expect(await lacksOf(old, false)).toEqual([]);
});

test.each([
  ['2.1.8', '2.1.0', true],
  ['2.1', '2.1.0', true],
  ['2.03.16', '2.3.11', true],
  ['0.8.4', '0.8.5', false],
  ['10.0', '9.9', true],
])('version %s is at least %s: %s', (version, lowest, answer) => {
  expect(isAtLeast(version, lowest)).toBe(answer);
});

test('a process that may not do what it must is told so', async () => {
  const proc = folderForTest();
  mkdirSync(join(proc, 'self'));
  writeFileSync(join(proc, 'self/status'), 'Name:\tnode\nCapEff:\t0000000000000002\n');
  const parts = {
    tools: hostWith(whole),
    folders: { ...systemFolders, sys: join(proc, 'none') },
    proc,
    versions: true,
  };
  const ready = await readinessOf(parts, [iscsi]);
  expect(ready.host).toEqual([
    expect.stringContaining('CAP_SYS_ADMIN'),
    expect.stringContaining('can not be written'),
  ]);
  expect(ready.blind).toEqual([expect.stringContaining('CAP_SYS_PTRACE')]);
  expect(warningsOf(ready)).toHaveLength(3);
});

test('every package that a connector needs is in the table', () => {
  const named = connectors.all.flatMap(({ needs }) => needs);
  expect(named.filter((name) => packageNeeds[name] === undefined)).toEqual([]);
});
