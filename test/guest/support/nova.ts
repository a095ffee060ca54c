/** OpenStack on the same host: attaches as its library does, with records of its own, and ends sessions by its own rules.
 *  Promises: knows nothing of Basalt. Source: os-brick, initiator/connectors/iscsi.py. */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { run } from '../../support/devices.ts';
import type { Chap } from './lio.ts';
import { settled } from './services.ts';

const isDone = (...words: readonly string[]): boolean => {
  try {
    run(...(words as [string, ...string[]]));
    return true;
  } catch {
    return false;
  }
};

export class Nova {
  readonly #node: readonly string[];
  readonly #portal: string;
  readonly #iqn: string;

  constructor(portal: string, iqn: string) {
    this.#portal = portal;
    this.#iqn = iqn;
    this.#node = ['-m', 'node', '-T', iqn, '-p', portal];
  }

  #update(name: string, value: string): void {
    run('iscsiadm', ...this.#node, '--op', 'update', '-n', name, '-v', value);
  }

  get sid(): string | undefined {
    const all = isDone('iscsiadm', '-m', 'session') ? run('iscsiadm', '-m', 'session').split('\n') : [];
    const own = all.find((line) => line.includes(` ${this.#portal},`) && line.includes(` ${this.#iqn} `));
    return /\[(\d+)\]/.exec(own ?? '')?.[1];
  }

  /** Its record, and the session, which may be there already. */
  login(chap?: Chap): void {
    if (!isDone('iscsiadm', ...this.#node))
      run('iscsiadm', ...this.#node, '--interface', 'default', '--op', 'new');
    this.#update('node.session.scan', 'manual');
    if (chap !== undefined) {
      this.#update('node.session.auth.authmethod', 'CHAP');
      this.#update('node.session.auth.username', chap.user);
      this.#update('node.session.auth.password', chap.password);
    }
    if (this.sid === undefined) run('iscsiadm', ...this.#node, '--login');
    this.#update('node.startup', 'automatic');
  }

  #host(): string {
    const host = readdirSync('/sys/class/iscsi_host').find((name) =>
      existsSync(`/sys/class/iscsi_host/${name}/device/session${this.sid}`),
    );
    if (host === undefined) throw new Error(`no session to ${this.#portal}`);
    return host.slice('host'.length);
  }

  address = (lun: number): string => `${this.#host()}:0:0:${lun}`;

  /** "sda" */
  disk(lun: number): string | undefined {
    const folder = `/sys/class/scsi_device/${this.address(lun)}/device/block`;
    return existsSync(folder) ? readdirSync(folder)[0] : undefined;
  }

  scan(lun: number): string {
    writeFileSync(`/sys/class/scsi_host/host${this.#host()}/scan`, `0 0 ${lun}`);
    settled();
    const disk = this.disk(lun);
    if (disk === undefined) throw new Error(`no disk at ${this.address(lun)}`);
    return disk;
  }

  /** Deletes its disks, and logs out where no other one is on the session. */
  leave(...luns: readonly number[]): void {
    for (const lun of luns) writeFileSync(`/sys/class/scsi_device/${this.address(lun)}/device/delete`, '1');
    const others = readdirSync('/sys/class/scsi_device').some((name) => name.startsWith(`${this.#host()}:`));
    if (others) return;
    this.#update('node.startup', 'manual');
    run('iscsiadm', ...this.#node, '--logout');
    run('iscsiadm', ...this.#node, '--op', 'delete');
  }

  get record(): string {
    const folder = `/etc/iscsi/nodes/${this.#iqn}`;
    const file = readdirSync(folder).find((name) => name.startsWith(this.#portal.replace(/:(\d+)$/, ',$1')));
    if (file === undefined) throw new Error(`no record of ${this.#portal}`);
    const path = `${folder}/${file}`;
    return readFileSync(existsSync(`${path}/default`) ? `${path}/default` : path, 'utf8');
  }
}
