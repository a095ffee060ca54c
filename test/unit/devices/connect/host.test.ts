/** What a host says of itself to storages, by what its folders hold; on this one, by what it is. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { describeHost, initiatorIn } from '../../../../daemon/devices/connect/host.ts';
import { hostNames } from '../../../../daemon/devices/connect/nvme/host-names.ts';
import { folderForTest } from '../../../support/devices.ts';

function partsWith(files: Readonly<Record<string, string>>) {
  const root = folderForTest();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const folders = { sys: join(root, 'sys'), dev: join(root, 'dev'), etc: join(root, 'etc') };
  const policy = { multipath: true, enforceMultipath: true };
  return { folders, policy, name: 'alpha', machine: 'x86_64', addresses: ['192.0.2.7'] };
}

const port = (host: string, name: string, state: string) => ({
  [`sys/class/fc_host/${host}/port_name`]: `0x${name}\n`,
  [`sys/class/fc_host/${host}/node_name`]: `0x2${name.slice(1)}\n`,
  [`sys/class/fc_host/${host}/port_state`]: `${state}\n`,
});

test('a host with everything tells it in the words of Cinder', async () => {
  const uuid = 'd9e08d13-0335-40ad-a5d6-a64083b6af8f';
  const parts = partsWith({
    'etc/iscsi/initiatorname.iscsi': '# a name\nInitiatorName=iqn.1993-08.org.debian:01:abc\n',
    'etc/nvme/hostnqn': `nqn.2014-08.org.nvmexpress:uuid:${uuid}\n`,
    'etc/nvme/hostid': '9c52c373-29d7-4c96-a3ca-330951c84f65\n',
    'sys/module/nvme_core/parameters/multipath': 'Y\n',
    'sys/class/dmi/id/product_uuid': 'AB52C373-29D7-4C96-A3CA-330951C84F65\n',
    ...port('host3', '10000090FA534CD0', 'Online'),
    ...port('host4', '10000090fa534cd1', 'Online'),
    ...port('host5', '10000090fa534cd2', 'Linkdown'),
  });
  expect(await describeHost(parts, { ip: '10.0.0.9' })).toEqual({
    platform: 'x86_64',
    os_type: 'linux',
    host: 'alpha',
    ip: '10.0.0.9',
    multipath: true,
    enforce_multipath: true,
    do_local_attach: false,
    initiator: 'iqn.1993-08.org.debian:01:abc',
    wwpns: ['10000090fa534cd0', '10000090fa534cd1'],
    wwnns: ['20000090fa534cd0', '20000090fa534cd1'],
    nqn: `nqn.2014-08.org.nvmexpress:uuid:${uuid}`,
    nvme_hostid: '9c52c373-29d7-4c96-a3ca-330951c84f65',
    nvme_native_multipath: true,
    'system uuid': 'ab52c373-29d7-4c96-a3ca-330951c84f65',
  });
});

test('a host with nothing leaves out what it has not, and calls itself as the connector of NVMe does', async () => {
  const parts = partsWith({
    'etc/machine-id': 'abc\n',
    'sys/class/dmi/id/product_uuid': '00000000-0000-0000-0000-000000000000\n',
  });
  const policy = { multipath: false, enforceMultipath: true };
  const told = await describeHost({ ...parts, policy }, { host: 'backup-1' });
  for (const key of ['initiator', 'wwpns', 'wwnns', 'system uuid']) expect(told).not.toHaveProperty([key]);
  const { nqn, id } = await hostNames(parts.folders.etc, null);
  expect(told).toMatchObject({ host: 'backup-1', nqn, nvme_hostid: id, nvme_native_multipath: false });
  // Enforced is only what is wanted at all.
  expect(told).toMatchObject({ multipath: false, enforce_multipath: false });
  expect(told.ip).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
});

test.each([
  ['InitiatorName=iqn.x:y', 'iqn.x:y'],
  ['## DO NOT EDIT\n  InitiatorName = iqn.x:y # ours\n', 'iqn.x:y'],
  ['#InitiatorName=iqn.x:y\n', undefined],
  ['InitiatorName=\nInitiatorAlias=z\n', undefined],
  ['', undefined],
])('%j names %s', (text, name) => {
  expect(initiatorIn(text)).toBe(name);
});
