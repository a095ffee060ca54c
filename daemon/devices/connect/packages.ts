/** The Debian packages that connectors need: which of their programs are run, and from which version on. Pure.
 *  Promises: each fact about a package is here and nowhere else; docs/devices.md tells the same. */

export interface PackageNeed {
  /** Programs of it that are run. */
  readonly programs: readonly string[];
  /** How a program is asked for its version, and the lowest that will do: older ones lack what is used, or were never tried. */
  readonly version?: { readonly words: readonly [string, ...string[]]; readonly lowest: string };
}

/** By the Debian package, as `Connector.needs` names them. */
export const packageNeeds: Readonly<Record<string, PackageNeed>> = {
  'open-iscsi': { programs: ['iscsiadm'], version: { words: ['iscsiadm', '--version'], lowest: '2.1.0' } },
  'multipath-tools': {
    programs: ['multipath', 'multipathd'],
    version: { words: ['multipath', '-h'], lowest: '0.8.5' },
  },
  lvm2: {
    programs: ['lvs', 'lvcreate', 'lvchange', 'lvextend', 'lvremove'],
    version: { words: ['lvm', 'version'], lowest: '2.3.11' },
  },
  dmsetup: { programs: ['dmsetup'] },
  'thin-provisioning-tools': { programs: ['thin_delta'] },
  'nvme-cli': { programs: ['nvme'], version: { words: ['nvme', 'version'], lowest: '2.0' } },
  'ceph-common': { programs: ['rbd'], version: { words: ['rbd', '--version'], lowest: '14.2' } },
  'libnbd-bin': {
    programs: ['nbdinfo', 'nbdfuse'],
    version: { words: ['nbdinfo', '--version'], lowest: '1.14' },
  },
  'qemu-utils': {
    programs: ['qemu-nbd', 'qemu-img'],
    version: { words: ['qemu-img', '--version'], lowest: '6.0' },
  },
  'qemu-system-common': {
    programs: ['qemu-storage-daemon'],
    version: { words: ['qemu-storage-daemon', '--version'], lowest: '6.0' },
  },
  'qemu-block-extra': { programs: [] },
  'nfs-common': { programs: ['mount.nfs'] },
  mount: { programs: ['mount', 'umount'] },
};
