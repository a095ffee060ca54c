/** Who connects and who disconnects where several use one subsystem, and what is told of volumes in one another's place: on a simulated
 *  host. */

import { expect, test, vi } from 'vitest';
import type { Observation } from '../../../../daemon/devices/connect/connector.ts';
import { hostNames } from '../../../../daemon/devices/connect/nvme/host-names.ts';
import { nvme } from '../../../../daemon/devices/connect/nvme/nvme.ts';
import { nqn, portals, SimulatedNvme, uuidOf } from './simulated-nvme.ts';

// A detach looks through all processes of this machine, for who has the disk open.
vi.setConfig({ testTimeout: 60_000 });

const urlOf = (name: string, at = portals): string => `nvme://${at.join(',')}/${nqn}?${name}`;
const states = ({ paths }: { readonly paths: readonly { readonly state: string }[] }): string[] =>
  paths.map(({ state }) => state);

class Attached {
  readonly context: ReturnType<SimulatedNvme['context']>;
  readonly #connection: ReturnType<typeof nvme.parseUrl>;

  /** `agent`: all attachments of it. */
  constructor(host: SimulatedNvme, name: string, agent: Attached[] = []) {
    const others = () => agent.filter((one) => one !== this).map(({ built }) => built);
    this.context = host.context(others);
    this.#connection = nvme.parseUrl(urlOf(name));
    agent.push(this);
  }

  get built() {
    return this.context.journaled.at(-1) ?? {};
  }

  attach = () => nvme.attach(this.#connection, this.context);
  observe = () => nvme.observe(this.#connection, this.built, this.context);
  rescan = () => nvme.rescan(this.#connection, this.built, this.context);
  detach = () => nvme.detach(this.#connection, this.built, this.context);
}

test('both portals are journaled before the first command, at each rescan too, and nothing is left', async () => {
  const host = new SimulatedNvme();
  const one = new Attached(host, `uuid=${uuidOf(1)}`);
  const { built, ...attached } = await one.attach();
  expect(built).toEqual(one.built);
  expect(states(attached)).toEqual(['active', 'active']);
  expect(attached.paths.map(({ identity }) => identity?.names)).toEqual([
    [`uuid.${uuidOf(1)}`],
    [`uuid.${uuidOf(1)}`],
  ]);
  await one.rescan();
  for (const entry of one.context.journaled)
    expect(entry).toMatchObject({ made: [{ port: 4420 }, { port: 4420 }] });
  await one.detach();
  expect(host.controllers).toEqual([]);
  await one.detach();
});

test.each(['first', 'second'])(
  'of two attachments the last to go takes the controllers: the %s goes first',
  async (which) => {
    const host = new SimulatedNvme();
    host.namespaces.set(2, 2);
    const agent: Attached[] = [];
    const one = new Attached(host, `uuid=${uuidOf(1)}`, agent);
    const two = new Attached(host, 'nsid=2', agent);
    await one.attach();
    await two.attach();
    const [first, last] = which === 'first' ? [one, two] : [two, one];
    await first.detach();
    expect(states(await last.observe())).toEqual(['active', 'active']);
    await last.detach();
    expect(host.controllers).toEqual([]);
  },
);

test('one namespace under two names is two attachments of the same controllers', async () => {
  const host = new SimulatedNvme();
  const agent: Attached[] = [];
  const byName = new Attached(host, `uuid=${uuidOf(1)}`, agent);
  const byNumber = new Attached(host, 'nsid=1', agent);
  await byName.attach();
  await byNumber.attach();
  await byName.detach();
  expect(host.controllers).toHaveLength(2);
  await byNumber.detach();
  expect(host.controllers).toEqual([]);
});

test('a namespace that came later, or whose user nobody knows, keeps the controllers; they are found without a record', async () => {
  const host = new SimulatedNvme();
  const [own, foreign] = [new Attached(host, 'nsid=1'), new Attached(host, 'nsid=2')];
  await own.attach();
  host.namespaces.set(2, 2);
  // Of another agent of this host: neither knows of the other.
  await foreign.attach();
  await foreign.detach();
  await own.detach();
  expect(host.controllers).toHaveLength(2);
  const context = host.context();
  expect(
    await nvme.leftovers?.([{ nqn, made: portals.map((at) => ({ host: at, port: 4420 })) }], context),
  ).toEqual([]);
  const left = (await nvme.leftovers?.([], context)) ?? [];
  expect(left.map(({ what }) => what)).toEqual(
    portals.map(
      (at, number) => `controller "nvme${number}" to ${nqn} at ${at}:4420, with /dev/nvme9n1, /dev/nvme9n2`,
    ),
  );
  for (const { connection, built } of left) await nvme.detach(connection, built, context);
  expect(host.controllers).toEqual([]);
});

test('a controller of somebody else is used and stays; one under another name of this host is not ours to use', async () => {
  const host = new SimulatedNvme();
  const names = await hostNames(`${host.sys}/etc`, null);
  const [first = '', second = ''] = portals;
  const theirs = host.connect(first, [`--hostnqn=${names.nqn}`]);
  const stranger = host.connect(second, ['--hostnqn=nqn.2026-01.example:stranger']);
  const one = new Attached(host, 'nsid=1');
  await one.attach();
  expect(host.controllers).toEqual([theirs, stranger, 'nvme2']);
  expect(host.hostNqnOf('nvme2')).toBe(names.nqn);
  await one.detach();
  expect(host.controllers).toEqual([theirs, stranger]);
});

test('another volume under the number is told as such, before and after the kernel has noticed, and nothing is left of it', async () => {
  const host = new SimulatedNvme();
  const one = new Attached(host, `uuid=${uuidOf(1)}`);
  await one.attach();
  const byNumber = new Attached(host, 'nsid=1');
  await byNumber.attach();
  host.namespaces.set(1, 2);
  await expect(one.observe()).rejects.toMatchObject({
    code: 'WRONG_DEVICE',
    message: expect.stringContaining(`: it calls itself uuid.${uuidOf(2)}`),
  });
  // Between two scans the kernel shows neither.
  for (const name of host.controllers) host.forget(name);
  await expect(one.observe()).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  await expect(byNumber.observe()).rejects.toMatchObject({ code: 'WRONG_DEVICE' });
  for (const name of host.controllers) host.scan(name);
  await expect(one.observe()).rejects.toMatchObject({
    code: 'WRONG_DEVICE',
    message: expect.stringContaining(`: it calls itself uuid.${uuidOf(2)}`),
  });
  host.namespaces.delete(1);
  for (const name of host.controllers) host.scan(name);
  await expect(one.observe()).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
  host.namespaces.set(1, 2);
  for (const name of host.controllers) host.scan(name);
  await one.detach();
  expect(host.controllers).toEqual([]);
});

test('a controller that is on its way out is waited for, and a portal that is down is told', async () => {
  const host = new SimulatedNvme();
  const [first = '', second = ''] = portals;
  const names = await hostNames(`${host.sys}/etc`, null);
  const old = host.connect(first, [`--hostnqn=${names.nqn}`]);
  host.set(old, 'state', 'deleting (no IO)\n');
  host.down.add(second);
  setTimeout(() => host.remove(old), 300);
  const one = new Attached(host, 'nsid=1');
  const before = await one.attach();
  expect(states(before)).toEqual(['active', 'missing']);
  host.down.delete(second);
  const after = await one.rescan();
  expect(states(after)).toEqual(['active', 'active']);
  // One way has one name, so that nobody takes it for two.
  const viasOf = ({ paths }: Pick<Observation, 'paths'>) => paths.map(({ via }) => via);
  expect(viasOf(after)).toEqual(viasOf(before));
  await one.detach();
  expect(host.controllers).toEqual([]);
  for (const portal of portals) host.down.add(portal);
  await expect(one.attach()).rejects.toMatchObject({
    code: 'ATTACH_FAILED',
    message: expect.stringContaining(`${second}:4420: Failed to write`),
    hint: expect.stringContaining(`lets the host "${names.nqn}" in`),
  });
});
