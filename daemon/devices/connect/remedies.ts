/** What mends a host that lacks something, as one line with the command: for the hints of faults.
 *  Promises: a remedy is told only where its cause is certain from what a program has said; several programs' words are one table.
 *  Knows nothing of when it is asked. Pure. */

import { packageNeeds } from './packages.ts';

/** Of programs that belong to no connector. */
const otherPackages: Readonly<Record<string, string>> = {
  blockdev: 'util-linux',
  setpriv: 'util-linux',
  modprobe: 'kmod',
  ceph: 'ceph-common',
  'mount.glusterfs': 'glusterfs-client',
};

export function installing(program: string): string | undefined {
  const [known] = Object.entries(packageNeeds).find(([, { programs }]) => programs.includes(program)) ?? [];
  const name = known ?? otherPackages[program];
  return name === undefined ? undefined : `Install it: apt install ${name}`;
}

export const starting = (service: string): string => `Start it: systemctl start ${service}`;
export const loading = (module: string): string => `Load the module of the kernel: modprobe ${module}`;

/** Sources: what each program of Debian 12 says on a host that lacks the thing. */
const said: readonly (readonly [RegExp, string])[] = [
  [/could not connect to iscsid|can not connect to iSCSI daemon/i, starting('iscsid')],
  [/iSCSI driver .*(not found|not loaded)/i, loading('iscsi_tcp')],
  [/\/dev\/nvme-fabrics/i, loading('nvme_tcp')],
  [/device-mapper driver missing|\/dev\/mapper\/control: open failed/i, loading('dm_mod')],
  [/thin(-pool)?: Required device-mapper target/i, loading('dm_thin_pool')],
  [/snapshot(-origin)?: Required device-mapper target/i, loading('dm_snapshot')],
  [/modprobe fuse|\/dev\/fuse: No such/i, loading('fuse')],
  [/unknown filesystem type 'nfs4?'|mount\.nfs4?: No such device/i, loading('nfs')],
  [
    /unable to open config file/i,
    'Write /etc/ceph/ceph.conf, or name the monitors in the URL: ?mons=HOST:PORT',
  ],
  [/Volume group "[^"]*" not found/, 'List the volume groups of this host with: vgs'],
];

export const remedyIn = (text: string): string | undefined => said.find(([cause]) => cause.test(text))?.[1];

/** One line for several, each told once. */
export function together(remedies: readonly (string | undefined)[]): string | undefined {
  const all = [...new Set(remedies.filter((one) => one !== undefined))];
  return all.length === 0 ? undefined : all.join('; ');
}
