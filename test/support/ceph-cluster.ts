/** A real cluster of Ceph on the loopback: one monitor and one store in memory, with the pool "rbd" and the user "backup".
 *  Promises: it is gone, with its folder, when the tests of the file have finished. */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './devices.ts';

export interface CephCluster {
  readonly conf: string;
  readonly mon: { readonly host: string; readonly port: number };
  /** The key of a user, as it stands in a keyring. */
  readonly keyOf: (user: string) => string;
  readonly rbd: (...words: string[]) => string;
  readonly store: ChildProcess;
  stop(): Promise<void>;
}

const settings = (folder: string, fsid: string, port: number): string => `[global]
fsid = ${fsid}
mon_host = [v2:127.0.0.1:${port}/0]
mon_initial_members = a
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = ${folder}/keyring
ms_bind_msgr1 = false
public_addr = 127.0.0.1
ms_bind_port_min = ${port + 1}
ms_bind_port_max = ${port + 20}
run_dir = ${folder}
admin_socket =
log_file = ${folder}/$name.log
crash_dir = ${folder}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
[mon]
mon_data = ${folder}/mon
mon_data_avail_crit = 0
paxos_propose_interval = 0.05
[osd]
osd_data = ${folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_class_update_on_start = false
`;

const users: Readonly<Record<string, readonly string[]>> = {
  'mon.': ['mon', 'allow *'],
  'client.admin': ['mon', 'allow *', 'osd', 'allow *', 'mgr', 'allow *'],
  'osd.0': ['mon', 'allow profile osd', 'osd', 'allow *'],
  'client.backup': ['mon', 'profile rbd', 'osd', 'profile rbd'],
  'client.reader': ['mon', 'profile rbd-read-only', 'osd', 'profile rbd-read-only'],
  'client.stranger': ['mon', 'profile rbd', 'osd', 'profile rbd pool=other'],
};

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(200)) {
    try {
      if (holds()) return;
    } catch {
      // Not yet.
    }
  }
  throw new Error(`in vain: ${what}`);
}

export async function startCeph(port = 26_789): Promise<CephCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-ceph-'));
  for (const name of ['mon', 'osd']) mkdirSync(join(folder, name));
  const conf = join(folder, 'ceph.conf');
  const fsid = randomUUID();
  writeFileSync(conf, settings(folder, fsid, port));
  const keyring = join(folder, 'keyring');
  for (const [user, caps] of Object.entries(users)) {
    const pairs = caps.flatMap((word, place) => (place % 2 === 0 ? ['--cap', word] : [word]));
    const create = user === 'mon.' ? ['--create-keyring'] : [];
    run('ceph-authtool', ...create, keyring, '--gen-key', '-n', user, ...pairs);
  }
  const map = join(folder, 'monmap');
  run('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${port}/0]`, map);
  run('ceph-mon', '--mkfs', '-i', 'a', '-c', conf, '--monmap', map, '--keyring', keyring);
  const started: ChildProcess[] = [];
  const start = (program: string, id: string): ChildProcess => {
    const child = spawn(program, ['-f', '-i', id, '-c', conf], { stdio: 'ignore' });
    started.push(child);
    return child;
  };
  const stop = async (): Promise<void> => {
    for (const child of started) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.kill('SIGKILL')) await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ceph = (...words: string[]): string => run('ceph', '-c', conf, '--connect-timeout', '5', ...words);
    start('ceph-mon', 'a');
    await until('the monitor answers', () => ceph('osd', 'dump') !== '');
    const uuid = randomUUID();
    ceph('osd', 'new', uuid, '0');
    run('ceph-osd', '-i', '0', '-c', conf, '--mkfs', '--osd-uuid', uuid);
    const store = start('ceph-osd', '0');
    await until('the store is up', () => / 1 up/.test(ceph('osd', 'stat')));
    ceph('osd', 'pool', 'create', 'rbd', '4');
    const rbd = (...words: string[]): string => run('rbd', '-c', conf, ...words);
    rbd('pool', 'init', 'rbd');
    const keyOf = (user: string): string =>
      new RegExp(`\\[${user}\\]\\s+key = (\\S+)`).exec(readFileSync(keyring, 'utf8'))?.[1] ?? '';
    return { conf, mon: { host: '127.0.0.1', port }, keyOf, rbd, store, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
