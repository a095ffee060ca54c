/** A host with Fibre Channel ports that is not there: a tree as sysfs has it, whose orders do what the kernel would do.
 *  Promises: below a folder of its own, gone when the test has finished. */

import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { ConnectContext, DeviceProbe } from '../../../../daemon/devices/connect/connector.ts';
import type { Tools } from '../../../../daemon/devices/connect/tools.ts';

export interface Unit {
  names: string[];
  sizeBytes: number;
}

/** What a host port sees: the number of the target in sysfs, and its units. */
export interface SimulatedTarget {
  readonly host: number;
  readonly wwpn: string;
  readonly target: number;
  readonly units: Map<number, Unit>;
}

const write = (path: string, text: string): void => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `${text}\n`);
};

/** Page 0x83 with the names that can be written so: "naa." and hexadecimal digits, as texts. */
function namesPage(names: readonly string[]): Buffer | undefined {
  const plain = names.filter((name) => /^naa\.[0-9a-f]+$/.test(name)).map((name) => Buffer.from(`${name}\0`));
  if (plain.length === 0) return undefined;
  const body = Buffer.concat(plain.flatMap((name) => [Buffer.from([3, 8, 0, name.length]), name]));
  return Buffer.concat([Buffer.from([0, 0x83, 0, body.length]), body]);
}

export class SimulatedHost {
  readonly root = mkdtempSync(join(tmpdir(), 'basalt-fc-'));
  readonly sys = join(this.root, 'sys');
  readonly targets: SimulatedTarget[] = [];
  /** All orders, as "file text". */
  readonly orders: string[] = [];
  #disks = 0;

  constructor() {
    onTestFinished(() => rmSync(this.root, { recursive: true, force: true }));
  }

  port(host: number, wwpn: string, state = 'Online'): void {
    write(join(this.sys, 'class/fc_host', `host${host}`, 'port_name'), `0x${wwpn}`);
    write(join(this.sys, 'class/fc_host', `host${host}`, 'port_state'), state);
    write(join(this.sys, 'class/scsi_host', `host${host}`, 'scan'), '');
  }

  /** A remote port that shows itself in the given class of sysfs. */
  remote(
    target: SimulatedTarget,
    where: 'fc_remote_ports' | 'fc_transport' = 'fc_remote_ports',
    state = 'Online',
  ): void {
    const { host, wwpn, target: id } = target;
    this.targets.push(target);
    const name = where === 'fc_transport' ? `target${host}:0:${id}` : `rport-${host}:0-${id}`;
    write(join(this.sys, 'class', where, name, 'port_name'), `0x${wwpn}`);
    if (where === 'fc_transport') return;
    write(join(this.sys, 'class', where, name, 'scsi_target_id'), String(id));
    write(join(this.sys, 'class', where, name, 'port_state'), state);
  }

  #folder = (address: string): string => join(this.sys, 'class/scsi_device', address, 'device');

  #appear(host: number, target: number, lun: number): void {
    const address = `${host}:0:${target}:${lun}`;
    if (!existsSync(this.#folder(address))) this.#disk(address);
  }

  /** Somebody's scan, in the middle: the unit is there, and its disk when the answer is called. */
  halfScanned(address: string): () => void {
    write(join(this.#folder(address), 'state'), 'running');
    return () => this.#disk(address);
  }

  /** A map over these disks; multipathd's part is the test's. */
  map(wwid: string, disks: readonly string[]): void {
    const folder = join(this.sys, 'block/dm-0');
    write(join(folder, 'dm/uuid'), `mpath-${wwid}`);
    write(join(folder, 'dm/name'), wwid);
    write(join(folder, 'dev'), '253:0');
    for (const disk of disks) {
      write(join(folder, 'slaves', disk), '');
      const holders = join(this.sys, 'block', disk, 'holders');
      if (existsSync(holders)) symlinkSync(folder, join(holders, 'dm-0'));
    }
  }

  #disk(address: string): void {
    const [host, , target, lun] = address.split(':').map(Number);
    const name = `sd${String.fromCharCode(97 + this.#disks)}`;
    const block = join(this.#folder(address), 'block', name);
    write(join(block, 'dev'), `8:${this.#disks * 16}`);
    write(join(block, 'diskseq'), String(100 + this.#disks));
    write(join(block, 'address'), address);
    write(join(this.#folder(address), 'state'), 'running');
    const unit = this.targets.find((one) => one.host === host && one.target === target)?.units.get(lun ?? -1);
    const page = namesPage(unit?.names ?? []);
    if (page !== undefined) writeFileSync(join(this.#folder(address), 'vpd_pg83'), page);
    mkdirSync(join(block, 'holders'));
    mkdirSync(join(this.sys, 'block'), { recursive: true });
    symlinkSync(block, join(this.sys, 'block', name));
    this.#disks += 1;
  }

  /** The port leaves the fabric for so long that the kernel takes its disks away. */
  lose({ host, target, units }: SimulatedTarget): void {
    this.#stateOf(host, target, 'Not Present');
    for (const lun of units.keys()) this.#gone(`${host}:0:${target}:${lun}`);
  }

  /** It is back, and the kernel looks at all of its units by itself. */
  return({ host, target, units }: SimulatedTarget): void {
    this.#stateOf(host, target, 'Online');
    for (const lun of units.keys()) this.#appear(host, target, lun);
  }

  #stateOf(host: number, target: number, state: string): void {
    write(join(this.sys, 'class/fc_remote_ports', `rport-${host}:0-${target}`, 'port_state'), state);
  }

  #gone(address: string): void {
    for (const name of this.disks) {
      if (this.addressOf(name) === address) rmSync(join(this.sys, 'block', name));
    }
    rmSync(join(this.sys, 'class/scsi_device', address), { recursive: true });
  }

  get disks(): string[] {
    return [...Array(this.#disks).keys()]
      .map((at) => `sd${String.fromCharCode(97 + at)}`)
      .filter((name) => existsSync(join(this.sys, 'block', name)));
  }

  addressOf(name: string): string | undefined {
    const all = this.targets.flatMap(({ host, target, units }) =>
      [...units.keys()].map((lun) => `${host}:0:${target}:${lun}`),
    );
    return all.find((address) => existsSync(join(this.#folder(address), 'block', name)));
  }

  unitBehind(device: string): Unit {
    const [host, , target, lun] = (this.addressOf(basename(device)) ?? '').split(':').map(Number);
    const found = this.targets
      .find((one) => one.host === host && one.target === target)
      ?.units.get(lun ?? -1);
    if (found === undefined) throw new Error(`nothing behind ${device}`);
    return found;
  }

  #scan(host: number, words: readonly string[]): void {
    const [, target, lun] = words;
    for (const one of this.targets) {
      if (one.host !== host || (target !== '-' && one.target !== Number(target))) continue;
      for (const number of one.units.keys())
        if (lun === '-' || Number(lun) === number) this.#appear(host, one.target, number);
    }
  }

  readonly probe: DeviceProbe = {
    scsiIdentity: async (device) => ({ names: this.unitBehind(device).names, serial: null }),
    size: async (device) => ({ sizeBytes: this.unitBehind(device).sizeBytes, blockBytes: 512 }),
    flush: async () => undefined,
    order: async (file, text) => {
      this.orders.push(`${file.slice(this.sys.length + 1)} ${text}`);
      const [, host] = /scsi_host\/host(\d+)\/scan$/.exec(file) ?? [];
      if (host !== undefined) this.#scan(Number(host), text.split(' '));
      const [, address] = /scsi_device\/([\d:]+)\/device\/delete$/.exec(file) ?? [];
      if (address !== undefined) this.#gone(address);
    },
  };

  /** A host without multipath-tools: one path at a time. */
  context(more: Partial<ConnectContext> = {}): ConnectContext & { notes: string[] } {
    const tools: Tools = {
      run: async () => ({ status: 1, stdout: '', stderr: '', timedOut: false, complaint: 'none' }),
      output: async () => '',
      find: async () => undefined,
    };
    const notes: string[] = [];
    return {
      notes,
      tools,
      folders: { sys: this.sys, dev: join(this.root, 'dev'), etc: join(this.root, 'etc') },
      policy: { multipath: true, enforceMultipath: false, pathsMin: 1, scanAttempts: 1, timeoutMs: 20_000 },
      signal: new AbortController().signal,
      access: 'write',
      id: 'test',
      folder: this.root,
      probe: this.probe,
      journal: async () => undefined,
      note: (what) => void notes.push(what),
      others: () => [],
      alone: (_key, task) => task(),
      ...more,
    };
  }
}
