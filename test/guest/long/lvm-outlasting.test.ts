/** Commands of LVM that outlast everybody who waits for them: a disk that does not answer holds up the making of a snapshot, the daemon
 *  is killed meanwhile, and what is made in the end is found and removed. */

import { expect, onTestFinished, test } from 'vitest';
import { systemLines } from '../../../daemon/devices/connect/tool-lines.ts';
import { systemTools } from '../../../daemon/devices/connect/tools.ts';
import { lvmSnapshots } from '../../../daemon/devices/snapshots/lvm.ts';
import { openSource } from '../../../daemon/devices/source.ts';
import { native } from '../../../native/native.ts';
import { eventually } from '../../support/daemon.ts';
import { faultOf, folderForTest, holdOpen, run } from '../../support/devices.ts';
import { daemonForTest, MiB } from '../../support/fault-world.ts';
import { hookProgram } from '../../support/reflink.ts';
import { type VolumeGroup, volumeGroup } from '../support/lvm.ts';
import { snapshotsOf } from '../support/lvm-world.ts';

const making = (): number[] =>
  run('sh', '-c', 'pgrep -x lvcreate || true')
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);

interface StallingGroup {
  readonly group: VolumeGroup;
  readonly path: string;
  readonly stall: string;
  readonly answer: () => void;
}

/** One with a volume whose disk answers nobody between `stall` and `answer`. */
function stallingGroup(): StallingGroup {
  const group = volumeGroup(64 * MiB, { stallable: true });
  const path = group.thick('shop', 16 * MiB);
  const stall = `dmsetup suspend --nolockfs --noflush ${group.disk}`;
  const answer = () => void run('dmsetup', 'resume', group.disk);
  // Nothing can be taken away while it hangs.
  onTestFinished(answer);
  return { group, path, stall, answer };
}

test('what an lvcreate makes that nobody waits for any more is not gone before it is there', async () => {
  const { group, path, stall, answer } = stallingGroup();
  const source = await openSource({ native }, path, { force: true });
  const hurried: typeof systemTools.output = (program, words, options) =>
    systemTools.output(program, words, { ...options, ...(program === 'lvcreate' ? { timeoutMs: 500 } : {}) });
  const tools = { ...systemTools, output: hurried };
  const maker = lvmSnapshots({
    tools,
    lines: systemLines,
    lvm: { snapshotPercent: 100, poolPercentMax: 90 },
    notesFolder: folderForTest(),
  });
  const place = (await maker.placeFor(source, '00000000-0000-4000-8000-000000000001')) ?? '';
  const prepared = await maker.prepare(source, place);
  await source.close();
  if (typeof prepared === 'string') throw new Error(prepared);
  run('sh', '-c', stall);
  expect((await faultOf(prepared.take(false))).message).toMatch(/LVM is still making it/);
  expect((await faultOf(maker.remove(place))).message).toMatch(/LVM is still making it/);
  answer();
  await eventually('lvcreate has ended', () => making().length === 0);
  expect(snapshotsOf(group)).toHaveLength(1);
  await maker.remove(place);
  expect(snapshotsOf(group)).toEqual([]);
});

test('a snapshot that appears after its daemon was killed is removed by the next one', async () => {
  const { group, path, stall, answer } = stallingGroup();
  const folder = folderForTest();
  const log = `${folder}/log`;
  const freeze = hookProgram(folder, 'freeze', log, stall);
  const thaw = hookProgram(folder, 'thaw', log, 'true');
  const settings = `freeze_command = ["${freeze}"]\nthaw_command = ["${thaw}"]\n`;
  const daemon = await daemonForTest({ settings });
  await daemon.addVolume('shop', path);
  await holdOpen(path, '<>');
  const started = await daemon.call('backup.create', { volume: 'shop', force: true });
  await eventually('lvcreate is under way', () => making().length > 0);
  await daemon.kill();
  expect(making()).not.toEqual([]);
  await daemon.start();
  const failed = await daemon.failed(Promise.resolve(started), 'DEVICE_FAILED');
  expect(failed.fault?.message).toMatch(/LVM is still making it/);
  answer();
  await eventually('lvcreate has ended', () => making().length === 0);
  await eventually('the snapshot is gone', () => snapshotsOf(group).length === 0, 60_000);
});

test('a program that a device holds is not waited for for ever', async () => {
  const { path, stall, answer } = stallingGroup();
  run('sh', '-c', stall);
  const begun = Date.now();
  const read = ['if=' + path, 'of=/dev/null', 'iflag=direct', 'count=1'];
  const ended = await systemTools.run('dd', read, { timeoutMs: 500 });
  answer();
  expect(ended).toMatchObject({ status: null, timedOut: true });
  expect(Date.now() - begun).toBeLessThan(20_000);
});
