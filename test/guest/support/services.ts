/** The daemons that a host with storage of a network runs: iscsid and multipathd, with settings fit for tests.
 *  Promises: started once a machine, found again by later tests; a link that is cut is noticed within seconds, not minutes. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { run } from '../../support/devices.ts';
import { machine, modprobe } from './inside.ts';

export const initiatorName = 'iqn.2026-01.basalt.test:host';

/** Nothing is queued for ever: a map without paths fails after a few looks. Partitions and other disks are left alone. */
const multipathConf = `defaults {
  polling_interval 2
  max_polling_interval 4
  no_path_retry 3
  fast_io_fail_tmo 5
  user_friendly_names no
  find_multipaths strict
  skip_kpartx yes
}
blacklist {
  devnode "^(loop|nbd|ubd|vd|rbd|ram|zram)"
  # Disks of the kernel's own making stand behind arrays, and are no way to them.
  protocol "scsi:unspec"
}
`;

/** A link that is cut is noticed within 4 s, and its disk fails 5 s later; a dead portal is given up on after 10 s. */
const iscsidConf = `node.startup = manual
node.session.timeo.replacement_timeout = 5
node.conn[0].timeo.login_timeout = 5
node.conn[0].timeo.noop_out_interval = 2
node.conn[0].timeo.noop_out_timeout = 2
node.session.initial_login_retry_max = 2
`;

const running = (name: string): boolean => {
  try {
    return run('pgrep', '-x', name) !== '';
  } catch {
    return false;
  }
};

/** iscsid, told to give up on a dead portal soon. */
export async function startIscsid(): Promise<void> {
  if (running('iscsid')) return;
  modprobe('iscsi_tcp', 'sd_mod', 'sg');
  mkdirSync('/run/lock/iscsi', { recursive: true });
  writeFileSync('/etc/iscsi/initiatorname.iscsi', `InitiatorName=${initiatorName}\n`);
  writeFileSync('/etc/iscsi/iscsid.conf', iscsidConf);
  if (machine() === 'qemu') run('systemctl', 'restart', 'iscsid');
  else run('iscsid');
  await eventually('iscsid answers', () => running('iscsid'));
}

/** multipathd; `more` are further lines of its settings, which count at its first start. */
export async function startMultipathd(more = ''): Promise<void> {
  if (running('multipathd')) return;
  modprobe('dm_multipath', 'dm_round_robin', 'dm_service_time');
  mkdirSync('/etc/multipath', { recursive: true });
  writeFileSync('/etc/multipath.conf', multipathConf + more);
  if (machine() === 'qemu') run('systemctl', 'restart', 'multipathd');
  else run('multipathd');
  await eventually('multipathd answers', multipathdAnswers);
}

const multipathdAnswers = (): boolean => {
  try {
    return !run('multipathd', 'show', 'status').includes('error');
  } catch {
    return false;
  }
};

/** Until the test has finished multipathd has other settings: `change` makes them of the usual ones. */
export async function setMultipath(change: (text: string) => string): Promise<void> {
  const load = async (text: string) => {
    writeFileSync('/etc/multipath.conf', text);
    run('multipathd', 'reconfigure');
    await eventually('multipathd has its settings', () =>
      run('multipathd', 'show', 'daemon').includes('idle'),
    );
  };
  await load(change(multipathConf));
  onTestFinished(() => load(multipathConf));
}

/** Until the test has finished there is no multipathd. */
export async function stopMultipathd(): Promise<void> {
  if (machine() === 'qemu') run('systemctl', 'stop', 'multipathd.socket', 'multipathd');
  else run('multipathd', 'shutdown');
  await eventually('multipathd has ended', () => !running('multipathd'));
  onTestFinished(() => startMultipathd());
}

/** udev has handled everything that has happened up to now. */
export const settled = (): void => void run('udevadm', 'settle', '--timeout=60');

export const isMounted = (folder: string): boolean =>
  existsSync(folder) && readFileSync('/proc/self/mounts', 'utf8').includes(` ${folder} `);
