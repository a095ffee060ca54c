/** A device that a job needs attached: as a source, as a target, or to be looked at.
 *
 *    attachFor ─▶ hold ─▶ source | target, that look at the device again before they count ─▶ endHold
 *
 *  Promises: what a volume is, is learned when it is attached first, and every later device is compared with that; a device that has
 *  become another one ends the job, and nothing is committed of it. A job that goes on at the next start of the daemon leaves a
 *  device attached for itself: only so nothing can have been written to it meanwhile without a trace. */

import { fstat } from 'node:fs';
import { promisify } from 'node:util';
import { toFault } from '../base/faults.ts';
import type { StoredIdentity, VolumeRecord } from '../catalog/records.ts';
import type { Observation } from '../devices/connect/connector.ts';
import type { RemoteLocation } from '../devices/connect/connectors.ts';
import type { Source, Target } from '../devices/device.ts';
import { deviceNumber } from '../devices/locate.ts';
import type { Hold } from './attachments/attachments.ts';
import { identityIn, viewOf } from './attachments/seen.ts';
import type { JobContext } from './job-order.ts';
import { gateOf } from './same-device.ts';
import type { Services } from './services.ts';

type Parts = Pick<Services, 'attachments' | 'catalog'>;
type Context = Pick<JobContext, 'id' | 'signal' | 'doing'>;

export interface AttachOrder {
  readonly location: RemoteLocation;
  readonly access: 'read' | 'write';
  /** The registered volume that it is. */
  readonly volume: VolumeRecord | undefined;
}

export async function attachFor(services: Parts, context: Context, order: AttachOrder): Promise<Hold> {
  const { location, access, volume } = order;
  const { id, signal } = context;
  context.doing(`attaching ${location.url}`);
  const hold = await services.attachments.acquire({
    location,
    access,
    user: { kind: 'job', id },
    wanted: volume?.identity ?? null,
    signal,
    note: (what) => context.doing(`attaching: ${what}`),
  });
  try {
    if (volume !== undefined) await pinIdentity(services, volume.id, hold);
  } catch (thrown) {
    await hold.release();
    throw thrown;
  }
  context.doing('starting');
  return hold;
}

/** Remembers what the volume is, for ever. What it is known by may only become more. */
async function pinIdentity({ catalog }: Parts, volumeId: string, { found }: Hold): Promise<void> {
  const identity = identityIn(viewOf(found));
  const { sizeBytes: size_bytes } = found.identity;
  await catalog.commit((changes) => {
    const volume = catalog.get('volumes', volumeId);
    if (volume === undefined || !isMore(identity, volume.identity)) return;
    changes.put('volumes', { ...volume, identity, size_bytes });
  });
}

const isMore = (found: StoredIdentity, known: StoredIdentity | null): boolean =>
  known === null ||
  (found.names.length > known.names.length && known.names.every((name) => found.names.includes(name)));

/** For the end of the job. Who is cancelled does not wait until the device is gone. */
export async function endHold(
  hold: Hold | undefined,
  { signal, doing }: Pick<JobContext, 'signal' | 'doing'>,
): Promise<void> {
  if (hold === undefined) return;
  const goesOn = signal.aborted && toFault(signal.reason).code === 'INTERRUPTED';
  if (goesOn && isHere(hold)) hold.keep();
  else if (signal.aborted) void hold.release();
  else {
    doing(`detaching ${hold.url}`);
    await hold.release();
  }
}

/** The source behind the device of a hold, under the URL that people know: it counts as unchanged only if it is still the same. */
export async function attachedSource(source: Source, hold: Hold | undefined): Promise<Source> {
  if (hold === undefined) return source;
  await requireDevice(hold, source.fd);
  const checkUnchanged = async () => {
    await source.checkUnchanged();
    await requireDevice(hold, source.fd);
  };
  const evidence = async () => {
    const here = await source.evidence();
    // Of a file that another host serves this one knows no more than that it did not write to it.
    if (!isHere(hold) || here === undefined) return undefined;
    return { ...here, text: `attachment ${hold.id} ${here.text}` };
  };
  return { ...source, url: hold.url, checkUnchanged, evidence };
}

/** Whether what is attached is a device of this host. A file in a share or behind a bridge is there only while it is attached: what
 *  is made beside it would be lost with the mount. */
export const isHere = ({ found }: Hold): boolean => found.number !== null;

/** A snapshot of that device counts only if it is one of the device that was asked for. */
export function snapshotOfAttached(source: Source, hold: Hold | undefined): Source {
  if (hold === undefined) return source;
  const checkUnchanged = async () => {
    await source.checkUnchanged();
    await hold.verify();
  };
  return { ...source, checkUnchanged };
}

/** The target behind the device of a hold: looked at before the first write, as the writes go on, before anything written counts as
 *  durable, and before the restore counts as done. */
export async function attachedTarget(target: Target, hold: Hold): Promise<Target> {
  const found = await requireDevice(hold, target.fd);
  const { url, glances } = hold;
  const sync = async () => {
    await target.sync();
    await glances?.look();
  };
  const commit = async (before?: () => void) => {
    await target.sync();
    await requireDevice(hold, target.fd);
    await target.commit(before);
  };
  const gate = glances === undefined ? {} : { gate: gateOf(url, glances) };
  return { ...target, ...gate, url, identity: lastingText(found, url), sync, commit };
}

/** What is open is the device, and the device is what was asked for. */
async function requireDevice(hold: Hold, fd: number): Promise<Observation> {
  const stats = await promisify(fstat)(fd, { bigint: true });
  return hold.verify(stats.isBlockDevice() ? deviceNumber(stats.rdev) : undefined);
}

/** Names below /dev change when a device is attached anew; what a restore began on must be known again. Of a device without lasting
 *  names nothing is known but what it was asked for by. */
function lastingText({ identity: { names, serial, sizeBytes } }: Observation, url: string): string {
  const [lasting] = names;
  const who = lasting ?? (serial === null ? url : `serial ${serial}`);
  return `attached ${who} size ${sizeBytes}`;
}
