/** Puts together what a volume is now: its device, its paths and their states.
 *  Promises: identity and sizes come from the device at this moment; paths that don't answer are shown as they are, and count for
 *  nothing. Changes nothing. */

import { Fault } from '../../../base/faults.ts';
import type { DeviceIdentity, DevicePath, Observation, PathState } from '../connector.ts';
import { type KnownPath, knownPaths } from '../multipath/client.ts';
import type { MultipathMap } from '../multipath/maps.ts';
import type { ScsiDisk } from './disks.ts';
import type { Scene } from './scene.ts';

/** A way as it was found: with its disk, if there is one, and what that said of itself, if it answered. */
export interface Seen {
  readonly via: string;
  readonly disk: ScsiDisk | undefined;
  readonly identity: DeviceIdentity | null;
}

export type Live = Seen & { readonly disk: ScsiDisk; readonly identity: DeviceIdentity };
export const isLive = (seen: Seen): seen is Live => seen.disk !== undefined && seen.identity !== null;

export function pathState({ disk, identity }: Seen, known: KnownPath | undefined): PathState {
  if (disk === undefined) return 'missing';
  if (known !== undefined && known.map !== '[orphan]') {
    if (known.mapState === 'failed' || known.checked === 'faulty') return 'failed';
    if (known.checked === 'ghost') return 'ghost';
    if (known.mapState === 'active') return 'active';
  }
  if (disk.state !== 'running') return 'failed';
  return identity === null ? 'failed' : known === undefined ? 'active' : 'unknown';
}

async function pathsOf(
  scene: Scene,
  all: readonly Seen[],
  map: MultipathMap | undefined,
): Promise<DevicePath[]> {
  const known = map === undefined ? [] : await knownPaths(scene.context);
  return all.map((seen) => ({
    device: seen.disk?.device ?? null,
    number: seen.disk?.number ?? null,
    via: seen.via,
    state: pathState(
      seen,
      known.find(({ name }) => name === seen.disk?.name),
    ),
    identity: seen.identity,
  }));
}

/** The volume over its map, or without one over the first way that works, in the same order at each look. DEVICE_FAILED where none
 *  does. */
export async function observation(
  scene: Scene,
  seen: readonly Seen[],
  map: MultipathMap | undefined,
): Promise<Observation> {
  const all = seen.toSorted((one, other) => (one.via < other.via ? -1 : 1));
  const first = all.find(isLive);
  if (first === undefined) {
    const why = all.map(({ via, disk }) => `${via}: ${disk === undefined ? 'no disk' : 'no answer'}`);
    throw new Fault('DEVICE_FAILED', `Cannot reach "${scene.what}": none of its paths works`, {
      details: { paths: why },
    });
  }
  const paths = await pathsOf(scene, all, map);
  if (map === undefined) {
    const { disk, identity } = first;
    return { device: disk.device, number: disk.number, identity, paths, map: null };
  }
  const size = await scene.context.probe.size(map.device);
  const { device, number, name } = map;
  return { device, number, identity: { ...first.identity, ...size }, paths, map: name };
}
