/** The part of the journal of an attachment that all SCSI transports share: ways, the map over them, and names of the volume.
 *  Promises: what is read back is checked, field by field, so that a damaged journal undoes nothing that it should not; writes of
 *  the journal follow one another, however many ways are brought up at once. Knows nothing of transports. */

import { readText } from '../../block-names.ts';
import type { Built, ConnectContext, Json } from '../connector.ts';

/** One way to the volume. */
export type WayBuilt = {
  /** Where it is, in the transport's own words; enough to find it again while it is there. */
  readonly place: { readonly [key: string]: Json };
  /** For people. */
  readonly via: string;
  /** True from before the scan on, where there was no device before. */
  readonly made: boolean;
  /** Of the disk that appeared; null: none was seen yet, or the kernel does not number them. */
  readonly sequence: string | null;
};

export type MapBuilt = {
  readonly wwid: string;
  /** The map is of our making. */
  readonly made: boolean;
  /** The WWID was not among those that multipath knows. */
  readonly added: boolean;
};

/** The whole journal of a transport has more in it. */
export type ScsiBuilt = {
  readonly [key: string]: Json;
  /** Of the kernel: after a restart nothing of what was built is there, and the same numbers mean other things. */
  readonly boot: string;
  readonly ways: readonly WayBuilt[];
  readonly map: MapBuilt | null;
  readonly identity: { readonly names: readonly string[]; readonly serial: string | null } | null;
};

export const bootId = async (): Promise<string> =>
  (await readText('/proc/sys/kernel/random/boot_id')) ?? 'unknown';

export type JsonMap = { readonly [key: string]: Json };

export const isMap = (value: unknown): value is JsonMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);
export const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

function readWay(value: Json): WayBuilt[] {
  if (!isMap(value) || !isMap(value['place'])) return [];
  const sequence = textOf(value['sequence']) || null;
  return [{ place: value['place'], via: textOf(value['via']), made: value['made'] === true, sequence }];
}

function readIdentity(value: Json | undefined): ScsiBuilt['identity'] {
  if (!isMap(value)) return null;
  const names = listOf(value['names']).map(textOf).filter(Boolean);
  return { names, serial: textOf(value['serial']) || null };
}

export function readScsiBuilt(built: Built): ScsiBuilt {
  const map = built['map'];
  const wwid = isMap(map) ? textOf(map['wwid']) : '';
  return {
    boot: textOf(built['boot']),
    ways: listOf(built['ways']).flatMap(readWay),
    map:
      isMap(map) && wwid !== '' ? { wwid, made: map['made'] === true, added: map['added'] === true } : null,
    identity: readIdentity(built['identity']),
  };
}

/** What is being built; a change is journaled before it resolves. */
export class Ledger<T extends ScsiBuilt> {
  #value: T;
  #last: Promise<void> = Promise.resolve();
  #broken: Error | undefined;
  readonly #context: Pick<ConnectContext, 'journal'>;

  constructor(context: Pick<ConnectContext, 'journal'>, value: T) {
    this.#context = context;
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /** Ends the whole attach where the journal can't be written: nothing may be made that is not in it. */
  requireWhole(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** `change` sees what others have changed before it. */
  async change(change: (value: T) => T): Promise<void> {
    const task = this.#last.then(async () => {
      this.requireWhole();
      const changed = change(this.#value);
      try {
        await this.#context.journal(changed);
      } catch (thrown) {
        this.#broken = thrown instanceof Error ? thrown : new Error(String(thrown));
        throw thrown;
      }
      this.#value = changed;
    });
    this.#last = task.catch(() => undefined);
    await task;
  }
}

/** The list with this entry in place of the one of the same key, or behind the others. */
export function put<T>(list: readonly T[], entry: T, same: (one: T) => boolean): T[] {
  const at = list.findIndex(same);
  return at < 0 ? [...list, entry] : list.with(at, entry);
}
