/** Opens what a backup reads, and makes it hold still where it can: a source in use is read from a temporary snapshot.
 *  Promises: where none can be made the source is read as it is, and the evidence says so, and why; a snapshot of ours is looked
 *  after while it is read, and one that is lost ends the backup. */

import { Fault } from '../base/faults.ts';
import type { BackupRecord, VolumeRecord } from '../catalog/records.ts';
import type { Source } from '../devices/device.ts';
import type { ReadableSnapshot } from '../devices/snapshots/maker.ts';
import { openSource } from '../devices/source.ts';
import type { Evidence } from '../format/manifest.ts';
import { attachedSource, isHere, snapshotOfAttached } from './attached-device.ts';
import type { Hold } from './attachments/attachments.ts';
import { consistencyOf } from './consistency.ts';
import type { JobContext } from './job-order.ts';
import { openKeptSnapshot } from './kept-snapshot.ts';
import type { Services } from './services.ts';
import { openTemporary, reopenTemporary, type TemporarySnapshot } from './temporary-snapshot.ts';

export interface BackupSource {
  readonly source: Source;
  readonly evidence: Evidence;
  /** For people: the evidence in a sentence. */
  readonly consistency: string;
  /** What is read, where it is a snapshot of ours. */
  readonly snapshot: ReadableSnapshot | undefined;
  /** What is read, where it was made for this backup alone. */
  readonly temporary?: TemporarySnapshot['temporary'];
  /** A temporary snapshot stays until the job has ended. */
  close(): Promise<void>;
}

export interface SourceOrder {
  readonly backup: BackupRecord;
  readonly volume: VolumeRecord;
  /** The device that the volume is on, where it had to be attached. */
  readonly hold: Hold | undefined;
  /** Read the source although something uses it. */
  readonly force: boolean;
}

type Parts = Pick<Services, 'catalog' | 'hooks' | 'keepSnapshots' | 'native' | 'snapshots'>;
type Context = Pick<JobContext, 'id' | 'journalTemporary' | 'signal' | 'temporaryPath'>;

/** The answer is the caller's to close. */
export async function openBackupSource(
  services: Parts,
  context: Context,
  order: SourceOrder,
): Promise<BackupSource> {
  const { backup, volume, hold, force } = order;
  if (backup.snapshot_id !== null) return openKept(services, backup.snapshot_id, hold);
  const earlier = await reopenTemporary(services, context, backup);
  if (earlier !== undefined) return closable(services, earlier, hold);
  const device = hold?.found.device ?? volume.source;
  const source = await openSource(services, device, { force, calledBy: hold?.url });
  const used_by = [...source.usedBy];
  if (used_by.length === 0) return openedAs(source, hold, { read_from: 'source', used_by, hooks: [] });
  const frozen = await openFrozen(services, context, order, source);
  if (typeof frozen !== 'string') {
    await source.close();
    return closable(services, frozen, hold);
  }
  const why = frozen === '' ? {} : { no_snapshot: frozen.slice(0, reasonLengthMax) };
  return openedAs(source, hold, { read_from: 'source', used_by, hooks: [], ...why });
}

const reasonLengthMax = 500;

/** Or why there can be none. */
async function openFrozen(
  services: Parts,
  context: Context,
  order: SourceOrder,
  source: Source,
): Promise<TemporarySnapshot | string> {
  const { hold } = order;
  if (hold !== undefined && !isHere(hold)) return 'its bytes are served by another host';
  // Whoever makes the snapshot looks for the device itself, not for what people call it.
  const device = hold === undefined ? source : { ...source, url: hold.found.device };
  return openTemporary(services, context, order, device).catch(async (thrown: unknown) => {
    await source.close();
    throw thrown;
  });
}

async function openedAs(source: Source, hold: Hold | undefined, evidence: Evidence): Promise<BackupSource> {
  try {
    return opened(await attachedSource(source, hold), evidence);
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

const opened = (source: Source, evidence: Evidence): BackupSource => ({
  source,
  evidence,
  consistency: consistencyOf(evidence),
  snapshot: undefined,
  close: () => source.close(),
});

const closable = (
  { catalog }: Pick<Services, 'catalog'>,
  opened: TemporarySnapshot,
  hold: Hold | undefined,
): BackupSource => ({
  ...opened,
  source: snapshotOfAttached(opened.source, hold),
  close: async () => {
    await opened.source.close();
    const stays = catalog.get('snapshots', opened.temporary.id) !== undefined;
    // That it is still on harms nobody.
    if (stays) await opened.snapshot.release().catch(() => undefined);
  },
});

async function openKept(services: Parts, id: string, hold: Hold | undefined): Promise<BackupSource> {
  const record = services.catalog.get('snapshots', id);
  if (record === undefined) throw new Fault('SNAPSHOT_UNKNOWN', `Cannot find snapshot "${id}"`);
  const { name, evidence: made } = record;
  const kept = await openKeptSnapshot(services, record, hold?.found.device);
  const made_from = kept.snapshot?.comparable?.mark;
  const evidence: Evidence = {
    read_from: 'snapshot',
    used_by: made?.used_by ?? [],
    hooks: made?.hooks ?? [],
    ...(made_from === undefined ? {} : { made_from }),
  };
  const consistency =
    made === null
      ? `as snapshot "${name}" is, which was registered`
      : consistencyOf(evidence, `snapshot "${name}"`);
  try {
    return { ...kept, source: await attachedSource(kept.source, hold), evidence, consistency };
  } catch (thrown) {
    await kept.close();
    throw thrown;
  }
}

/** Runs `read`, and looks after the snapshot meanwhile: once it is lost, the reading ends with the reason. */
export async function whileWatched<T>(
  snapshot: ReadableSnapshot | undefined,
  signal: AbortSignal,
  read: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (snapshot === undefined) return read(signal);
  const lost = new AbortController();
  const stop = snapshot.watch((fault) => lost.abort(fault));
  try {
    return await read(AbortSignal.any([signal, lost.signal]));
  } catch (thrown) {
    // Its reads fail before anybody has looked at it.
    const failed = thrown instanceof Fault && thrown.code === 'SOURCE_READ_FAILED';
    throw (failed ? await snapshot.trouble() : undefined) ?? thrown;
  } finally {
    stop();
  }
}
