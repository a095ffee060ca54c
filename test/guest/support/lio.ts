/** An iSCSI array: the kernel's own target, made by hand below configfs, with a portal at the far end of each link.
 *    ArrayVolume (a file under a loop device, so that it can grow) ─▶ a backstore with a serial number ─▶ LUN n of the target
 *  Promises: target, backstores and loop devices are gone when the test has finished. The bytes of a volume are written and read
 *  through `device`: the target's view of them is the same.
 *  Knows nothing of who logs in. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { run } from '../../support/devices.ts';
import { modprobe } from './inside.ts';
import { bothLinks, type Link, laidLinks, onSan, sanAddress, sanAddress6 } from './links.ts';

const configfs = '/sys/kernel/config/target';
const portNumber = 3260;

export const portal = (link: Link): string => `${sanAddress(link)}:${portNumber}`;
export const portals: readonly string[] = bothLinks.map(portal);
export const portals6: readonly string[] = bothLinks.map((link) => `[${sanAddress6(link)}]:${portNumber}`);

const put = (path: string, text: string | number): void => writeFileSync(path, String(text));

let made = 0;

/** A volume of the array. */
export class ArrayVolume {
  readonly name: string;
  /** The bytes: a loop device, or what was handed in. */
  readonly device: string;
  readonly #file: string | undefined;
  readonly #folder: string;

  private constructor(name: string, folder: string, device: string, file?: string) {
    this.name = name;
    this.device = device;
    this.#folder = folder;
    this.#file = file;
  }

  /** A file of the size under a loop device. */
  static ofSize(sizeBytes: number): ArrayVolume {
    modprobe('loop');
    const folder = mkdtempSync('/tmp/array-');
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'volume');
    writeFileSync(file, '');
    truncateSync(file, sizeBytes);
    const device = run('losetup', '--find', '--show', file);
    onTestFinished(() => void run('losetup', '--detach', device));
    return ArrayVolume.#serve('fileio_0', device, `fd_dev_name=${device},fd_dev_size=${sizeBytes}`, file);
  }

  /** Another block device: one that fails, or is slow. What its errors are reaches the initiator. */
  static over(device: string): ArrayVolume {
    return ArrayVolume.#serve('iblock_0', device, `udev_path=${device}`);
  }

  /** A disk of SCSI whose own answers, names and errors reach the initiator as they are: `address` is "host:channel:target:lun". */
  static passing(device: string, address: string): ArrayVolume {
    const [host, channel, target, lun] = address.split(':');
    const control = `scsi_host_id=${host},scsi_channel_id=${channel},scsi_target_id=${target},scsi_lun_id=${lun}`;
    return ArrayVolume.#serve('pscsi_0', device, control);
  }

  static #serve(
    kind: 'fileio_0' | 'iblock_0' | 'pscsi_0',
    device: string,
    control: string,
    file?: string,
  ): ArrayVolume {
    modprobe('target_core_mod', 'target_core_file', 'target_core_iblock', 'target_core_pscsi');
    made += 1;
    const name = `volume${made}`;
    const folder = `${configfs}/core/${kind}/${name}`;
    mkdirSync(folder, { recursive: true });
    put(`${folder}/control`, control);
    if (kind === 'pscsi_0') put(`${folder}/udev_path`, device);
    put(`${folder}/enable`, 1);
    // The name that the SCSI world knows it by comes from this; what is passed through has its own.
    const serial = `ba5a17${made.toString(16).padStart(8, '0')}`.padEnd(32, '0');
    if (kind !== 'pscsi_0') put(`${folder}/wwn/vpd_unit_serial`, serial);
    onTestFinished(() => rmdirSync(folder));
    return new ArrayVolume(name, folder, device, file);
  }

  get backstore(): string {
    return this.#folder;
  }

  /** The array's administrator gives it more room. */
  grow(sizeBytes: number): void {
    if (this.#file === undefined) throw new Error('only volumes of a size can grow');
    truncateSync(this.#file, sizeBytes);
    run('losetup', '--set-capacity', this.device);
  }
}

export interface Chap {
  readonly user: string;
  readonly password: string;
}

export class Target {
  readonly iqn: string;
  readonly #group: string;

  private constructor(iqn: string) {
    this.iqn = iqn;
    this.#group = `${configfs}/iscsi/${iqn}/tpgt_1`;
  }

  /** A target that lets everybody in, or those who know the password. */
  static start(options: { iqn?: string; chap?: Chap; links?: readonly Link[] } = {}): Target {
    laidLinks();
    modprobe('iscsi_target_mod');
    made += 1;
    const target = new Target(options.iqn ?? `iqn.2026-01.basalt.test:array${made}`);
    const group = target.#group;
    // The session's sockets belong to the network namespace of whoever makes the folder.
    onSan('mkdir', '-p', group);
    onTestFinished(() => target.#remove());
    for (const link of options.links ?? bothLinks) target.openPortal(link);
    put(`${group}/attrib/generate_node_acls`, 1);
    put(`${group}/attrib/demo_mode_write_protect`, 0);
    put(`${group}/attrib/cache_dynamic_acls`, 1);
    put(`${group}/attrib/authentication`, options.chap === undefined ? 0 : 1);
    if (options.chap !== undefined) target.setChap(options.chap);
    target.enable();
    return target;
  }

  setChap({ user, password }: Chap): void {
    put(`${this.#group}/auth/userid`, user);
    put(`${this.#group}/auth/password`, password);
  }

  enable = (): void => put(`${this.#group}/enable`, 1);
  /** As when the array goes down: sessions end, and nobody gets in. */
  disable = (): void => put(`${this.#group}/enable`, 0);

  openPortal(link: Link): void {
    this.listen(portal(link));
  }

  listen(where: string): void {
    const folder = `${this.#group}/np/${where}`;
    if (!existsSync(folder)) onSan('mkdir', folder);
  }

  /** A login over this link is refused from now on; sessions that there are end. */
  closePortal(link: Link): void {
    rmdirSync(`${this.#group}/np/${portal(link)}`);
  }

  addLun(lun: number, volume: ArrayVolume): void {
    const folder = `${this.#group}/lun/lun_${lun}`;
    mkdirSync(folder, { recursive: true });
    this.#show(volume, folder);
  }

  /** Until the test has finished: the volume may go before the target does. */
  #show(volume: ArrayVolume, folder: string): void {
    const link = `${folder}/volume`;
    symlinkSync(volume.backstore, link);
    onTestFinished(() => {
      if (existsSync(link) && readlinkSync(link).endsWith(`/${volume.name}`)) unlinkSync(link);
    });
  }

  removeLun(lun: number): void {
    const folder = `${this.#group}/lun/lun_${lun}`;
    for (const name of readdirSync(folder)) if (name === 'volume') unlinkSync(`${folder}/volume`);
    rmdirSync(folder);
  }

  /** From now on the number leads to another volume, and no initiator is told. */
  remap(lun: number, volume: ArrayVolume): void {
    const folder = `${this.#group}/lun/lun_${lun}`;
    unlinkSync(`${folder}/volume`);
    this.#show(volume, folder);
  }

  #remove(): void {
    const group = this.#group;
    this.disable();
    for (const name of readdirSync(`${group}/lun`)) this.removeLun(Number(name.slice('lun_'.length)));
    for (const name of readdirSync(`${group}/np`)) rmdirSync(`${group}/np/${name}`);
    for (const name of readdirSync(`${group}/acls`)) rmdirSync(`${group}/acls/${name}`);
    rmdirSync(group);
    rmdirSync(join(group, '..'));
  }
}
