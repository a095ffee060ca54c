/** Makes a snapshot of an open source, inside the hooks where there are any.
 *  Promises: nobody is told to freeze where it was clear before that there can be no snapshot; where it fails nothing is left.
 *  Hooks run around the making of a snapshot and nowhere else: to hold an application still for as long as a volume is read would
 *  harm it more than a crash-consistent backup. */

import { Fault } from '../base/faults.ts';
import type { VolumeRecord } from '../catalog/records.ts';
import type { Source } from '../devices/device.ts';
import { type PreparedSnapshot, SnapshotRefused } from '../devices/snapshots/maker.ts';
import type { PlacedSnapshot } from '../devices/snapshots/makers.ts';
import type { Evidence } from '../format/manifest.ts';
import { type HookSubject, whileFrozen } from './hooks.ts';
import type { JobContext } from './job-order.ts';
import type { Services } from './services.ts';

export const hookSubjectOf = (
  { id, name, project_id, source }: VolumeRecord,
  of: Pick<HookSubject, 'backup_id' | 'snapshot_id'>,
): HookSubject => ({ volume_id: id, volume_name: name, project_id, source, ...of });

export interface TakenSnapshot {
  readonly sizeBytes: number;
  readonly runs: Evidence['hooks'];
}

export interface SnapshotTake extends PlacedSnapshot {
  readonly source: Source;
  readonly subject: HookSubject;
}

type Parts = Pick<Services, 'catalog' | 'hooks'>;

/** Takes it; or the clause that says why there can be none. */
export async function takeSnapshot(
  services: Parts,
  { signal }: Pick<JobContext, 'signal'>,
  { source, subject, maker, place }: SnapshotTake,
): Promise<TakenSnapshot | string> {
  const prepared = await maker.prepare(source, place);
  if (typeof prepared === 'string') return prepared;
  try {
    const runs = await takeFrozen(services, signal, subject, prepared);
    return { sizeBytes: await prepared.finish(), runs: [...runs] };
  } catch (thrown) {
    await maker.remove(place);
    if (signal.aborted && signal.reason instanceof Fault) throw signal.reason;
    if (thrown instanceof SnapshotRefused) return thrown.message;
    throw thrown;
  } finally {
    await prepared.close();
  }
}

async function takeFrozen(
  services: Parts,
  signal: AbortSignal,
  subject: HookSubject,
  prepared: PreparedSnapshot,
): Promise<Evidence['hooks']> {
  const { freeze, thaw } = services.hooks;
  if (freeze === null && thaw === null) {
    await prepared.take(false);
    return [];
  }
  const { runs } = await whileFrozen(services, subject, signal, () => prepared.take(true));
  return [...runs];
}
