/** Opens a snapshot that outlives its backups, for reading. It holds still by itself: whoever uses it only reads.
 *  Promises: one that Basalt has made is made readable first, and given back as it was. */

import { Fault } from '../base/faults.ts';
import type { SnapshotRecord } from '../catalog/records.ts';
import type { Source } from '../devices/device.ts';
import type { ReadableSnapshot } from '../devices/snapshots/maker.ts';
import { openSource } from '../devices/source.ts';
import type { Services } from './services.ts';

export interface KeptSnapshot {
  readonly source: Source;
  /** Absent: somebody else has made it, and looks after it. */
  readonly snapshot: ReadableSnapshot | undefined;
  close(): Promise<void>;
}

export async function openKeptSnapshot(
  services: Pick<Services, 'native' | 'snapshots'>,
  { name, made_by, source: url }: SnapshotRecord,
  /** Where it is, if it had to be attached. */
  device = url,
): Promise<KeptSnapshot> {
  if (made_by === 'operator') {
    const source = await openSource(services, device, { force: true });
    return { source, snapshot: undefined, close: () => source.close() };
  }
  const { maker, place } = services.snapshots.at(made_by, url);
  const snapshot = await maker.open(place);
  if (typeof snapshot === 'string')
    throw new Fault('SNAPSHOT_LOST', `Cannot read snapshot "${name}": ${snapshot}`);
  try {
    const source = await openSource(services, snapshot.url, { force: true });
    const close = async (): Promise<void> => {
      await source.close();
      await snapshot.release();
    };
    return { source, snapshot, close };
  } catch (thrown) {
    await snapshot.release();
    throw thrown;
  }
}
