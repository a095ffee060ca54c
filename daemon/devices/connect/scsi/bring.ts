/** Brings up one way to a volume and writes it into the journal.
 *  Promises: it answers with the disk, or with why there is none: one way that does not work keeps no other from being used. Only a
 *  wrong device ends the whole. What is journaled as made is what this attachment has made. */

import { Fault } from '../../../base/faults.ts';
import { type Appeared, appear, type Way } from './appear.ts';
import { type JsonMap, type Ledger, put, type ScsiBuilt, type WayBuilt } from './built.ts';
import type { ScsiDisk } from './disks.ts';
import { passWrongDevice } from './identify.ts';
import type { Scene } from './scene.ts';

export interface Reached {
  readonly via: string;
  readonly disk: ScsiDisk;
}

/** A way that does not work. */
export interface Trouble {
  readonly via: string;
  readonly why: string;
  /** The storage knows us and refuses. */
  readonly denied: boolean;
  /** What would mend it, where that is known. */
  readonly remedy?: string | undefined;
}

export type Outcome = Reached | Trouble;
export const isReached = (outcome: Outcome): outcome is Reached => 'disk' in outcome;

/** Thrown by a transport whose way does not work. */
export class NoWay extends Error {
  readonly denied: boolean;
  readonly remedy: string | undefined;

  constructor(why: string, denied = false, remedy?: string) {
    super(why);
    this.denied = denied;
    this.remedy = remedy;
  }
}

export const troubleOf = (via: string, thrown: unknown): Trouble => ({
  via,
  why: thrown instanceof Error ? thrown.message : String(thrown),
  denied: thrown instanceof NoWay && thrown.denied,
  remedy: thrown instanceof NoWay ? thrown.remedy : remedyOf(thrown),
});

/** The hint of a fault of this host. What is wrong elsewhere has a hint of its own. */
const remedyOf = (thrown: unknown): string | undefined =>
  thrown instanceof Fault && (thrown.code === 'TOOL_MISSING' || thrown.code === 'TOOL_FAILED')
    ? thrown.hint
    : undefined;

type Record = (way: WayBuilt) => Promise<void>;

async function appeared(
  scene: Scene,
  way: Way,
  earlier: WayBuilt | undefined,
  record: (made: boolean, sequence: string | null) => Promise<void>,
): Promise<Appeared | string> {
  const address = await way.address();
  if (address === undefined) return 'the target is not reached';
  const own = earlier?.made === true;
  const found = await appear(scene, way, address, { own, begin: () => record(true, null) });
  if (found === undefined) return `the target shows no unit ${address.lun} to this host`;
  const same = earlier?.sequence === null || earlier?.sequence === found.disk.sequence;
  const stays = own && (same || way.returns === true);
  await record(found.made || stays, found.disk.sequence);
  return found;
}

export async function bring<T extends ScsiBuilt>(
  scene: Scene,
  ledger: Ledger<T>,
  way: Way,
  place: JsonMap,
): Promise<Outcome> {
  const { via } = way;
  const earlier = ledger.value.ways.find((one) => one.via === via);
  const record: Record = (entry) =>
    ledger.change((value) => ({ ...value, ways: put(value.ways, entry, (one) => one.via === via) }));
  try {
    const found = await appeared(scene, way, earlier, (made, sequence) =>
      record({ place, via, made, sequence }),
    );
    if (typeof found !== 'string') return { via, disk: found.disk };
    return { via, why: found, denied: false };
  } catch (thrown) {
    scene.context.signal.throwIfAborted();
    ledger.requireWhole();
    passWrongDevice(thrown);
    return troubleOf(via, thrown);
  }
}
