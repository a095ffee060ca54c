/** An NVMe array: the kernel's own target over TCP, made by hand below configfs, with a port at the far end of each link.
 *    Volume (a file with a UUID) ─▶ namespace n of a subsystem ─▶ a port on each link
 *  Promises: target, ports and files are gone when the test has finished. Only in the machine "qemu".
 *  Knows nothing of who connects. */

import {
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { modprobe } from './inside.ts';
import { bothLinks, laidLinks, onSan, sanAddress } from './links.ts';

const configfs = '/sys/kernel/config/nvmet';
const portNumber = 4420;

export const nvmePortals: readonly string[] = bothLinks.map(sanAddress);

const put = (path: string, text: string | number): void => writeFileSync(path, String(text));

let made = 0;

/** A volume of the array: its bytes, and the name that it calls itself by. */
export interface NvmeVolume {
  readonly uuid: string;
  readonly file: string;
}

export function nvmeVolume(bytes: number | Buffer): NvmeVolume {
  made += 1;
  const store = mkdtempSync('/tmp/nvmet-');
  onTestFinished(() => rmSync(store, { recursive: true, force: true }));
  const file = join(store, 'namespace');
  writeFileSync(file, typeof bytes === 'number' ? '' : bytes, { flush: true });
  if (typeof bytes === 'number') truncateSync(file, bytes);
  return { uuid: `00000000-0000-4000-8000-${String(made).padStart(12, '0')}`, file };
}

export class Subsystem {
  readonly nqn: string;
  readonly #folder: string;

  private constructor(nqn: string) {
    this.nqn = nqn;
    this.#folder = `${configfs}/subsystems/${nqn}`;
  }

  /** Over both links, and open to every host. */
  static start(name?: string): Subsystem {
    laidLinks();
    modprobe('nvmet', 'nvmet-tcp', 'nvme-tcp');
    made += 1;
    const subsystem = new Subsystem(name ?? `nqn.2026-01.test.basalt:array${made}`);
    const folder = subsystem.#folder;
    mkdirSync(folder, { recursive: true });
    onTestFinished(() => rmdirSync(folder));
    put(`${folder}/attr_allow_any_host`, 1);
    for (const link of bothLinks) subsystem.#openPort(made * 10 + link, sanAddress(link));
    return subsystem;
  }

  #openPort(number: number, address: string): void {
    const port = `${configfs}/ports/${number}`;
    mkdirSync(port);
    put(`${port}/addr_trtype`, 'tcp');
    put(`${port}/addr_adrfam`, 'ipv4');
    put(`${port}/addr_traddr`, address);
    put(`${port}/addr_trsvcid`, portNumber);
    const shown = `${port}/subsystems/${this.nqn}`;
    // Its sockets belong to the network namespace of whoever makes the link.
    onSan('ln', '-s', this.#folder, shown);
    onTestFinished(() => {
      unlinkSync(shown);
      rmdirSync(port);
    });
  }

  /** Hosts that are connected are told. */
  show(nsid: number, volume: NvmeVolume): void {
    const namespace = `${this.#folder}/namespaces/${nsid}`;
    mkdirSync(namespace);
    onTestFinished(() => {
      put(`${namespace}/enable`, 0);
      rmdirSync(namespace);
    });
    this.remap(nsid, volume);
  }

  /** From now on the number leads to another volume. */
  remap(nsid: number, { file, uuid }: NvmeVolume): void {
    const namespace = `${this.#folder}/namespaces/${nsid}`;
    put(`${namespace}/enable`, 0);
    put(`${namespace}/device_path`, file);
    put(`${namespace}/device_uuid`, uuid);
    put(`${namespace}/enable`, 1);
  }

  /** The array's administrator gives it more room. */
  grow(nsid: number, { file }: NvmeVolume, sizeBytes: number): void {
    truncateSync(file, sizeBytes);
    put(`${this.#folder}/namespaces/${nsid}/revalidate_size`, 1);
  }

  /** Nobody but this host is let in from now on. */
  allowOnly(hostNqn: string): void {
    const host = `${configfs}/hosts/${hostNqn}`;
    mkdirSync(host);
    put(`${this.#folder}/attr_allow_any_host`, 0);
    const allowed = `${this.#folder}/allowed_hosts/${hostNqn}`;
    symlinkSync(host, allowed);
    onTestFinished(() => {
      unlinkSync(allowed);
      rmdirSync(host);
    });
  }

  /** As a URL names the namespace: "uuid=…" or "nsid=…". */
  url(name: string, portals: readonly string[] = nvmePortals): string {
    return `nvme://${portals.join(',')}/${this.nqn}?${name}`;
  }
}
