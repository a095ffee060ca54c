/** The table of all that can make snapshots. A row more is all that a further kind of source needs.
 *  Promises: of a source or a place at most one maker says that it is its own. */

import { systemLines } from '../connect/tool-lines.ts';
import type { Source } from '../device.ts';
import { type LvmParts, lvmSnapshots } from './lvm.ts';
import type { SnapshotKind, SnapshotMaker } from './maker.ts';
import { type ReflinkParts, reflinkSnapshots } from './reflink.ts';

/** A maker, and the place of one snapshot of its. */
export interface PlacedSnapshot {
  readonly maker: SnapshotMaker;
  readonly place: string;
}

export interface SnapshotMakers {
  /** Who can make a snapshot of the source, and where; undefined: nobody. */
  forSource(source: Source, id: string): Promise<PlacedSnapshot | undefined>;
  /** Whose place it is; undefined: nobody's. */
  forPlace(place: string): PlacedSnapshot | undefined;
  /** A snapshot by the URL under which it was recorded. */
  at(kind: SnapshotKind, url: string): PlacedSnapshot;
  /** Puts right what a daemon that was killed has left beside snapshots. Gives a sentence for each thing that it did. */
  recover(): Promise<string[]>;
}

export function snapshotMakers(parts: ReflinkParts & Omit<LvmParts, 'lines'>): SnapshotMakers {
  const makers: Readonly<Record<SnapshotKind, SnapshotMaker>> = {
    reflink: reflinkSnapshots(parts),
    lvm: lvmSnapshots({ ...parts, lines: systemLines }),
  };
  const all = Object.values(makers);
  return {
    forSource: async (source, id) => {
      for (const maker of all) {
        const place = await maker.placeFor(source, id);
        if (place !== undefined) return { maker, place };
      }
      return undefined;
    },
    forPlace: (place) => {
      const maker = all.find((one) => one.isPlace(place));
      return maker === undefined ? undefined : { maker, place };
    },
    recover: async () => {
      const done: string[] = [];
      for (const maker of all) done.push(...((await maker.recover?.()) ?? []));
      return done;
    },
    at: (kind, url) => ({ maker: makers[kind], place: makers[kind].placeIn(url) }),
  };
}
