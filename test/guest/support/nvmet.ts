/** An NVMe array: the kernel's own target over TCP, made by hand below configfs, with a port at the far end of each link.
 *  Promises: target, ports and file are gone when the test has finished. Only in the machine "qemu". */

import { mkdirSync, mkdtempSync, rmdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { modprobe } from './inside.ts';
import { bothLinks, laidLinks, onSan, sanAddress } from './links.ts';

const configfs = '/sys/kernel/config/nvmet';
const portNumber = 4420;

export interface Subsystem {
  readonly nqn: string;
  readonly uuid: string;
  /** The bytes of namespace 1. */
  readonly file: string;
  readonly portals: readonly { address: string; port: number }[];
}

const put = (path: string, text: string | number): void => writeFileSync(path, String(text));

let made = 0;

/** A subsystem with one namespace, over both links. */
export function subsystem(sizeBytes: number): Subsystem {
  laidLinks();
  modprobe('nvmet', 'nvmet-tcp', 'nvme-tcp');
  made += 1;
  const nqn = `nqn.2026-01.test.basalt:array${made}`;
  const uuid = `00000000-0000-4000-8000-${String(made).padStart(12, '0')}`;
  const store = mkdtempSync('/tmp/nvmet-');
  onTestFinished(() => rmSync(store, { recursive: true, force: true }));
  const file = join(store, 'namespace');
  writeFileSync(file, '');
  truncateSync(file, sizeBytes);
  const folder = `${configfs}/subsystems/${nqn}`;
  const namespace = `${folder}/namespaces/1`;
  mkdirSync(namespace, { recursive: true });
  onTestFinished(() => {
    put(`${namespace}/enable`, 0);
    rmdirSync(namespace);
    rmdirSync(folder);
  });
  put(`${folder}/attr_allow_any_host`, 1);
  put(`${namespace}/device_path`, file);
  put(`${namespace}/device_uuid`, uuid);
  put(`${namespace}/enable`, 1);
  const portals = bothLinks.map((link) => {
    const port = `${configfs}/ports/${made * 10 + link}`;
    mkdirSync(port);
    put(`${port}/addr_trtype`, 'tcp');
    put(`${port}/addr_adrfam`, 'ipv4');
    put(`${port}/addr_traddr`, sanAddress(link));
    put(`${port}/addr_trsvcid`, portNumber);
    const shown = `${port}/subsystems/${nqn}`;
    // Its sockets belong to the network namespace of whoever makes the link.
    onSan('ln', '-s', folder, shown);
    onTestFinished(() => {
      unlinkSync(shown);
      rmdirSync(port);
    });
    return { address: sanAddress(link), port: portNumber };
  });
  return { nqn, uuid, file, portals };
}
