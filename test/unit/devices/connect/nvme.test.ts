import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ConnectContext } from '../../../../daemon/devices/connect/connector.ts';
import { nvmeNamespace } from '../../../../daemon/devices/connect/nvme/address.ts';
import { controllers, isNamespace, stateOf } from '../../../../daemon/devices/connect/nvme/controllers.ts';
import { hostNames } from '../../../../daemon/devices/connect/nvme/host-names.ts';
import { requireNamed } from '../../../../daemon/devices/connect/nvme/identify.ts';
import { nvme } from '../../../../daemon/devices/connect/nvme/nvme.ts';
import { createProbe } from '../../../../daemon/devices/connect/probe.ts';
import { native } from '../../../../native/native.ts';
import { folderForTest } from '../../../support/devices.ts';

const nqn = 'nqn.2026-01.example:disk';
const uuid = '6001405a-3c1f-4f0b-9d2e-0f1c5a7b9e11';
const nguid = '6001405a3c1f4f0b9d2e0f1c5a7b9e11';
const namespace = (more: object) => ({
  nqn,
  portals: [{ host: '10.0.0.2', port: 4420 }],
  uuid: null,
  nguid: null,
  nsid: null,
  hostNqn: null,
  ...more,
});

test.each([
  [`nvme://10.0.0.2/${nqn}?uuid=${uuid.toUpperCase()}`, namespace({ uuid })],
  [`nvme://10.0.0.2/${nqn}?nguid=${nguid}`, namespace({ nguid })],
  [
    `nvme://10.0.0.2:4420/${nqn}?nsid=3&hostnqn=nqn.2026-01.h:x`,
    namespace({ nsid: 3, hostNqn: 'nqn.2026-01.h:x' }),
  ],
  [
    `nvme://10.0.0.2,[fe80::1]:4421/${nqn}?nsid=1`,
    namespace({
      nsid: 1,
      portals: [
        { host: '10.0.0.2', port: 4420 },
        { host: 'fe80::1', port: 4421 },
      ],
    }),
  ],
])('%s is read, and written back to the same namespace', (text, connection) => {
  expect(nvme.parseUrl(text)).toEqual(connection);
  expect(nvme.parseUrl(nvme.format(connection))).toEqual(connection);
});

test('a portal is one, however its address is written', () => {
  const text = `nvme://[FE80:0::1%25eth0],[fe80::1%25eth0]:4420,[2001:DB8::0:1],10.0.0.2/${nqn}?nsid=1`;
  const connection = nvme.parseUrl(text);
  expect(nvme.parseUrl(nvme.format(connection))).toEqual(connection);
  const { portals } = nvmeNamespace(connection);
  expect(portals.map(({ host }) => host)).toEqual(['fe80::1%eth0', '2001:db8::1', '10.0.0.2']);
});

test.each([
  [`nvme://10.0.0.2/${nqn}`, /needs a uuid, nguid or nsid/],
  [`nvme://array/${nqn}?nsid=1`, /no IP address/],
  ['nvme://10.0.0.2/disk?nsid=1', /no NQN/],
  [`nvme://10.0.0.2/${nqn}?uuid=00000000-0000-0000-0000-000000000000`, /UUID or NGUID is none/],
  [`nvme://10.0.0.2/${nqn}?nsid=0`, /number of its namespace/],
  [`nvme://10.0.0.2/${nqn}?nsid=1&dev=x`, /it may have/],
])('%s is refused', (text, why) => {
  expect(() => nvme.parseUrl(text)).toThrow(why);
});

const parse = (data: unknown) => nvme.parseInfo(data, { driverType: 'nvmeof' });

test('what the drivers of Cinder give, of both kinds, is taken unchanged', () => {
  const old = {
    target_portal: '10.0.0.2',
    target_port: '4420',
    nqn,
    transport_type: 'tcp',
    ns_id: 7,
    volume_nguid: nguid,
  };
  expect(parse({ ...old, host_nqn: 'nqn.2026-01.h:x' })).toEqual(
    namespace({ nguid, nsid: 7, hostNqn: 'nqn.2026-01.h:x' }),
  );
  const portals = [
    ['10.0.0.2', 4420, 'tcp'],
    ['10.0.1.2', '4420', 'RoCEv2'],
  ];
  expect(parse({ target_nqn: nqn, vol_uuid: uuid, portals, ns_id: null })).toEqual(namespace({ uuid }));
  // The name that the target of LVM gives: "nqn.", target_prefix, "-" and the id, and no date of its own.
  const own = `nqn.iqn.2010-10.org.openstack:-${uuid}`;
  const read = parse({ ...old, nqn: own, ns_id: '10', volume_nguid: undefined });
  expect(read).toEqual(namespace({ nqn: own, nsid: 10 }));
  expect(nvme.parseUrl(nvme.format(read))).toEqual(read);
});

test.each([
  [{ target_nqn: nqn, vol_uuid: null, portals: [['10.0.0.2', 4420, 'tcp']] }, /needs a uuid/],
  [
    { target_nqn: nqn, vol_uuid: uuid, portals: [['10.0.0.2', 4420, 'rdma']] },
    /none of its portals is over TCP/,
  ],
  [{ target_nqn: nqn, vol_uuid: uuid, portals: [['10.0.0.2', 99999, 'tcp']] }, /no port/],
  [{ target_nqn: `${nqn} -x`, vol_uuid: uuid, portals: [['10.0.0.2', 4420, 'tcp']] }, /no NQN/],
  [{ target_nqn: `${nqn},hostid=x`, vol_uuid: uuid, portals: [['10.0.0.2', 4420, 'tcp']] }, /no NQN/],
  [{ vol_uuid: uuid, alias: 'a', volume_replicas: [] }, /neither/],
])('connection_info %j is refused', (data, why) => {
  expect(() => parse(data)).toThrow(why);
});

test('a namespace is found in the folders of its controllers, whatever the numbers in names', async () => {
  const sys = folderForTest();
  const write = (folder: string, files: Readonly<Record<string, string>>): void => {
    mkdirSync(join(sys, 'class/nvme', folder), { recursive: true });
    for (const [name, text] of Object.entries(files))
      writeFileSync(join(sys, 'class/nvme', folder, name), `${text}\n`);
  };
  const ends = { transport: 'tcp', subsysnqn: nqn, hostnqn: 'nqn.2026-01.h:x', ctrl_loss_tmo: '33' };
  write('nvme0', { transport: 'pcie', address: '0000:01:00.0', state: 'live' });
  write('nvme4', { ...ends, address: 'traddr=10.0.0.2,trsvcid=4420,src_addr=10.0.0.1', state: 'live' });
  write('nvme4/nvme3c4n9', { nsid: '2', uuid, ana_state: 'non-optimized' });
  write('nvme4/hwmon1', {});
  write('nvme5', { ...ends, address: 'traddr=10.0.1.2,trsvcid=4420', state: 'connecting' });
  write('nvme5/nvme3c5n9', {
    nsid: '2',
    uuid,
    nguid: '00000000-0000-0000-0000-000000000000',
    ana_state: 'optimized',
  });
  const found = await controllers(sys);
  expect(found.map(({ name, host, port }) => `${name} ${host} ${port}`)).toEqual([
    'nvme4 10.0.0.2 4420',
    'nvme5 10.0.1.2 4420',
  ]);
  const states = found.flatMap((one) =>
    one.namespaces.map((space) => `${space.disk} ${stateOf(one, space)}`),
  );
  expect(states).toEqual(['nvme3n9 enabled', 'nvme3n9 failed']);
  const [space] = found[0]?.namespaces ?? [];
  if (space === undefined) throw new Error('no namespace');
  const wanted = (more: object) => nvmeNamespace(namespace(more));
  expect(isNamespace(wanted({ uuid }), space)).toBe(true);
  expect(isNamespace(wanted({ uuid, nsid: 3 }), space)).toBe(false);
  expect(isNamespace(wanted({ nguid }), space)).toBe(false);
});

test('a namespace that calls itself otherwise than the kernel remembers is refused', () => {
  const wanted = nvmeNamespace(namespace({ uuid }));
  const other = '7001405a-3c1f-4f0b-9d2e-0f1c5a7b9e11';
  expect(() => requireNamed(wanted, { names: [`uuid.${other}`] })).toThrow(
    expect.objectContaining({ code: 'WRONG_DEVICE' }),
  );
  requireNamed(wanted, { names: [`nguid.${nguid}`, `uuid.${uuid}`] });
  // Old devices say less than the kernel knows.
  requireNamed(wanted, { names: ['eui.0123456789abcdef'] });
});

test('a portal whose connect was ended is journaled still: its controller may come up later', async () => {
  const folder = folderForTest();
  const journal: unknown[] = [];
  const context: ConnectContext = {
    tools: {
      run: async () => ({ status: null, stdout: '', stderr: '', timedOut: true, complaint: 'too late' }),
      output: async () => '',
      find: async () => undefined,
    },
    folders: { sys: folder, dev: folder, etc: folder },
    policy: { multipath: true, enforceMultipath: false, pathsMin: 1, scanAttempts: 0, timeoutMs: 2_000 },
    signal: new AbortController().signal,
    access: 'read',
    id: 'test',
    folder,
    probe: createProbe(native),
    journal: async (built) => void journal.push(structuredClone(built)),
    others: () => [],
    note: () => undefined,
    alone: (_key, task) => task(),
  };
  await expect(nvme.attach(namespace({ uuid }), context)).rejects.toThrow('too late');
  expect(journal.at(-1)).toMatchObject({ nqn, made: [{ host: '10.0.0.2', port: 4420 }] });
});

test('one namespace is one attachment, over whichever portals, and another one is another', () => {
  const keyOf = (portals: string, name: string) =>
    nvme.key(nvme.parseUrl(`nvme://${portals}/${nqn}?${name}`));
  expect(keyOf('10.0.0.2,10.0.1.2', `uuid=${uuid}`)).toBe(
    keyOf('10.0.0.2', `uuid=${uuid}&hostnqn=nqn.2026-01.h:x`),
  );
  expect(keyOf('10.0.0.2', 'nsid=1')).not.toBe(keyOf('10.0.0.2', 'nsid=2'));
});

test('the host has the same names every time, and never those of no host', async () => {
  const etc = folderForTest();
  mkdirSync(join(etc, 'nvme'));
  writeFileSync(join(etc, 'machine-id'), '0123456789abcdef0123456789abcdef\n');
  const made = await hostNames(etc, null);
  expect(await hostNames(etc, null)).toEqual(made);
  expect(made.nqn).toBe(`nqn.2014-08.org.nvmexpress:uuid:${made.id}`);
  writeFileSync(
    join(etc, 'nvme/hostnqn'),
    'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000000\n',
  );
  writeFileSync(join(etc, 'nvme/hostid'), '00000000-0000-0000-0000-000000000000\n');
  expect(await hostNames(etc, null)).toEqual(made);
  writeFileSync(join(etc, 'nvme/hostnqn'), `nqn.2014-08.org.nvmexpress:uuid:${uuid}\n`);
  writeFileSync(join(etc, 'nvme/hostid'), `${uuid}\n`);
  expect(await hostNames(etc, null)).toEqual({ nqn: `nqn.2014-08.org.nvmexpress:uuid:${uuid}`, id: uuid });
  // Another name has another id: kernels refuse one id under two names.
  const given = await hostNames(etc, 'nqn.2026-01.h:x');
  expect(given.nqn).toBe('nqn.2026-01.h:x');
  expect(given.id).not.toBe(uuid);
  expect(await hostNames(etc, 'nqn.2026-01.h:x')).toEqual(given);
});
