/** Switches volumes of LVM on and off, and removes them.
 *  Promises: what is done is seen to be done before it resolves; commands that suspend devices come to their own end; a volume that
 *  somebody has open stays as it is; one that is still being made does not count as gone. Source: lvchange(8), lvremove(8), lvm.conf(5). */

import { Fault } from '../../../base/faults.ts';
import type { Tools } from '../tools.ts';
import { type VolumeName, wordOf } from './names.ts';
import { findVolume, type LogicalVolume, noGuests } from './report.ts';
import { isUnderWay, makes } from './under-way.ts';

/** A suspended origin waits for what it has under way: on a loaded disk that may take long. */
const changeTimeoutMs = 120_000;
const triesMax = 5;
const restMs = 500;
const settleTimeoutMs = 30_000;
/** Who removes what is still being made waits so long; whoever asked for it has waited before. */
const makingPatienceMs = 3000;

const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, restMs));

/** Runs a command that changes volumes. TOOL_FAILED. */
export async function change(
  tools: Tools,
  program: string,
  words: readonly string[],
  config = '',
): Promise<void> {
  const all = ['--config', `${noGuests} ${config}`.trim(), ...words];
  await tools.output(program, all, { timeoutMs: changeTimeoutMs, toTheEnd: true });
}

/** Also one that is marked to be skipped. Gives it as it is then. */
export async function activate(tools: Tools, name: VolumeName): Promise<LogicalVolume> {
  // A thick snapshot asks whether its origin may be switched on with it.
  await change(tools, 'lvchange', ['--activate', 'y', '--ignoreactivationskip', '--yes', wordOf(name)]);
  const found = await findVolume(tools, name);
  if (found !== undefined && found.number !== null) return found;
  throw new Fault('DEVICE_FAILED', `Cannot use "${wordOf(name)}": it was switched on, and is not there`);
}

/** One that is off, or gone, is fine. */
export async function deactivate(tools: Tools, name: VolumeName): Promise<void> {
  let why = '';
  for (let tries = 1; tries <= triesMax; tries += 1) {
    const found = await findVolume(tools, name);
    if (found === undefined || found.number === null) return;
    if (found.open) why = 'somebody has it open';
    else
      why = await failureOf(change(tools, 'lvchange', ['--activate', 'n', '--yes', wordOf(name)], retrying));
    if (why === '') continue;
    await settle(tools);
    await rest();
  }
  const last = await findVolume(tools, name);
  if (last === undefined || last.number === null) return;
  throw new Fault('DEVICE_FAILED', `Cannot switch "${wordOf(name)}" off: ${why}`);
}

/** udev looks into each device that appears, and has it open while it does. */
const retrying = 'activation/retry_deactivation=1';
const pastSuspended = `${retrying} devices/ignore_suspended_devices=1`;

/** Removes a volume that `isOurs`; one that is gone is fine. DEVICE_FAILED, TOOL_FAILED where it can't be said that it is gone. */
export async function remove(
  tools: Tools,
  name: VolumeName,
  isOurs: (found: LogicalVolume) => boolean,
): Promise<void> {
  await untilMade(name);
  let why = '';
  for (let tries = 1; tries <= triesMax; tries += 1) {
    const found = await findVolume(tools, name);
    if (found === undefined) return;
    if (!isOurs(found)) throw new Fault('DEVICE_FAILED', `Cannot remove "${wordOf(name)}": it is not ours`);
    const config = tries === 1 ? retrying : pastSuspended;
    why = await failureOf(change(tools, 'lvremove', ['--force', '--yes', wordOf(name)], config));
    if (why === '') continue;
    await settle(tools);
    await rest();
  }
  if ((await findVolume(tools, name)) === undefined) return;
  throw new Fault('DEVICE_FAILED', `Cannot remove "${wordOf(name)}": ${why}`);
}

/** A command that nobody waits for any more has it appear after everybody has looked. */
async function untilMade(name: VolumeName): Promise<void> {
  for (let waitedMs = 0; await isUnderWay(makes(name.volume)); waitedMs += restMs) {
    if (waitedMs >= makingPatienceMs)
      throw new Fault(
        'DEVICE_FAILED',
        `Cannot remove "${wordOf(name)}" yet: a command of LVM is still making it`,
      );
    await rest();
  }
}

const failureOf = (work: Promise<void>): Promise<string> =>
  work.then(
    () => '',
    (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
  );

/** udev has handled what has happened so far; where there is no udev nothing needs to be waited for. */
async function settle(tools: Tools): Promise<void> {
  if ((await tools.find('udevadm')) === undefined) return;
  await tools.run('udevadm', ['settle', `--timeout=${settleTimeoutMs / 1000}`], {
    timeoutMs: 2 * settleTimeoutMs,
  });
}
