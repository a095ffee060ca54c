/** Opens the target of a restore, at its begin and again after the daemon ended, and says where to go on.
 *  Promises: a restore goes on only on the very thing it began on; what it wrote is trusted without a look only in its own hidden
 *  file, and compared elsewhere; the history of the job says which. */

import { rm } from 'node:fs/promises';
import { Fault } from '../base/faults.ts';
import type { RestoreCheckpoint } from '../catalog/records.ts';
import type { Target } from '../devices/device.ts';
import { isPartialName, reopenNewFile } from '../devices/new-file.ts';
import { openTarget } from '../devices/target.ts';
import type { RestoreCheckpoints } from '../pipeline/restore.ts';
import { Written } from '../pipeline/written.ts';
import { attachedTarget } from './attached-device.ts';
import type { Hold } from './attachments/attachments.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';

export interface RestoreTarget {
  readonly target: Target;
  readonly written: Written;
  readonly checkpoints: RestoreCheckpoints;
}

export interface TargetOrder {
  readonly url: string;
  /** The device that the URL leads to, where it had to be attached. */
  readonly hold: Hold | undefined;
  readonly sizeBytes: number;
  readonly force: boolean;
  /** What earlier restores have changed on it. */
  readonly written: Written;
}

/** Undefined: the file is whole and has its name; only the end of the job was missing. */
export async function openRestoreTarget(
  services: Services,
  context: JobContext,
  order: TargetOrder,
): Promise<RestoreTarget | undefined> {
  const earlier = context.checkpoint?.kind === 'restore' ? context.checkpoint : undefined;
  const own = context.temporaryPath;
  if (own !== null && earlier !== undefined) {
    const { url, sizeBytes } = order;
    const reopened = await reopenNewFile(services, url, {
      temporary: own,
      identity: earlier.target,
      sizeBytes,
    });
    if (reopened === 'named') {
      context.note('resumed', 'the file was whole and had its name: the restore is complete');
      return undefined;
    }
    if (reopened !== undefined) return goOnInOwnFile(services, context, reopened, earlier, order);
  }
  if (own !== null && isPartialName(own)) await rm(own, { force: true });
  const { sizeBytes } = order;
  // A restore that began as a new file was never allowed to write over one: what has the name by now is somebody else's.
  const force = order.force && own === null;
  const onTemporary = context.journalTemporary;
  const found = await openTarget(services, order.hold?.found.device ?? order.url, {
    sizeBytes,
    force,
    calledBy: order.hold?.url,
    onTemporary,
  });
  try {
    const target = order.hold === undefined ? found : await attachedTarget(found, order.hold);
    return await begin(services, context, target, own === null ? earlier : undefined, order);
  } catch (thrown) {
    await found.abort();
    throw thrown;
  }
}

function goOnInOwnFile(
  services: Services,
  context: JobContext,
  target: Target,
  { position, counts }: RestoreCheckpoint,
  { written }: TargetOrder,
): RestoreTarget {
  context.note('resumed', `at byte ${position}: the file in the making is as it was left`);
  const { written_bytes: writtenBytes, zeroed_bytes: zeroedBytes, unchanged_bytes: unchangedBytes } = counts;
  const places = { from: position, compareUntil: 0, counts: { writtenBytes, zeroedBytes, unchangedBytes } };
  return { target, written, checkpoints: { ...places, ...saving(services, context, target, written) } };
}

const nothingDone = { writtenBytes: 0, zeroedBytes: 0, unchangedBytes: 0 };

async function begin(
  services: Services,
  context: JobContext,
  target: Target,
  earlier: RestoreCheckpoint | undefined,
  { url, sizeBytes, written }: TargetOrder,
): Promise<RestoreTarget> {
  if (earlier !== undefined && earlier.target !== target.identity) {
    throw new Fault(
      'TARGET_UNUSABLE',
      `Cannot go on with the restore to "${url}": something else is there by now`,
      {
        hint: 'Look what the name leads to, and run the restore again',
      },
    );
  }
  const position = earlier?.position ?? 0;
  // What came after a checkpoint may be on the target, or not.
  if (earlier?.last === false) written.addPerhaps({ offset: position, length: sizeBytes - position });
  const how =
    position > 0
      ? `at byte ${position}: what was written before is compared`
      : 'from byte 0: nothing was durable yet';
  if (context.resumed) context.note('resumed', how);
  const saves = saving(services, context, target, written);
  const checkpoints = { from: 0, compareUntil: position, counts: nothingDone, ...saves };
  // Before the first write: only now is it known for ever what the restore writes to.
  if (earlier === undefined) await saves.save(0, nothingDone, false);
  return { target, written, checkpoints };
}

function saving(services: Services, context: JobContext, target: Target, written: Written) {
  type Counts = typeof nothingDone;
  return {
    everyMs: services.checkpointEveryMs,
    save: async (position: number, counts: Counts, last: boolean) => {
      const {
        writtenBytes: written_bytes,
        zeroedBytes: zeroed_bytes,
        unchangedBytes: unchanged_bytes,
      } = counts;
      await context.saveCheckpoint({
        kind: 'restore',
        position,
        target: target.identity,
        counts: { written_bytes, zeroed_bytes, unchanged_bytes },
        written: written.report(),
        last,
      });
    },
  };
}
