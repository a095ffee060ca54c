/** Sees to it that a device stays the one that it was, while a job uses it.
 *
 *    each second, and before a write that would be one too many ─▶ each way is asked who it is
 *    each half minute ─▶ a whole look, with the map and its members
 *
 *  Promises: once it is another one, the use ends with WRONG_DEVICE; of what is written, no more than `unseenBytesMax` can lie between
 *  two looks, however fast the device is. That it does not answer is for who reads and writes to find out; only writes that could
 *  go anywhere do not wait for ever. */

import { setTimeout as pause } from 'node:timers/promises';
import { unlessAborted } from '../base/abort.ts';
import { MiB } from '../base/bytes.ts';
import { Fault, type FaultCode } from '../base/faults.ts';
import { deviceFailed } from '../devices/connect/trouble.ts';
import type { WriteGate } from '../devices/device.ts';
import { isInterrupted } from '../pipeline/checkpoints.ts';
import { throwIfCancelled } from '../pipeline/parts.ts';
import type { Hold } from './attachments/attachments.ts';
import type { Glances } from './attachments/glances.ts';

const glanceEveryMs = 1_000;
const lookEveryMs = 30_000;
/** Of a look at one that has failed. */
const lastLookMs = 10_000;
/** So many bytes can go to another volume at worst, when the storage shows one in the middle of a restore. */
export const unseenBytesMax = 64 * MiB;
/** Writes on their way fail earlier, unless a map queues them. */
const patienceMs = 60_000;

type Watched = Pick<Hold, 'verify' | 'glances'>;

/** A disk of NVMe that the kernel has dropped is an empty one for who has it open. */
const deviceFaults: ReadonlySet<string> = new Set<FaultCode>([
  'SOURCE_CHANGED',
  'SOURCE_READ_FAILED',
  'TARGET_WRITE_FAILED',
  'DEVICE_FAILED',
]);

/** That it is another one by now; undefined: it is not, or says nothing. */
const wrongness = (hold: Watched): Promise<Fault | undefined> =>
  hold.verify().then(
    () => undefined,
    (thrown: unknown) => (thrown instanceof Fault && thrown.code === 'WRONG_DEVICE' ? thrown : undefined),
  );

const lastLook = (): Promise<undefined> => pause(lastLookMs, undefined, { ref: false });

/** Runs `use`, and looks at the device meanwhile. Where the use fails because it is another one by now, that is the reason: kernels that
 *  notice it by themselves give readers an error and no more. */
export async function whileSame<T>(
  hold: Watched | undefined,
  signal: AbortSignal,
  use: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (hold === undefined) return use(signal);
  const wrong = new AbortController();
  const { glances } = hold;
  const timers = [again(lookEveryMs, () => hold.verify(), wrong)];
  if (glances !== undefined) timers.push(again(glanceEveryMs, () => glances.look(), wrong));
  try {
    return await use(AbortSignal.any([signal, wrong.signal]));
  } catch (thrown) {
    const failed = thrown instanceof Fault && deviceFaults.has(thrown.code);
    throw (failed ? await Promise.race([wrongness(hold), lastLook()]) : undefined) ?? thrown;
  } finally {
    for (const timer of timers) clearInterval(timer);
  }
}

/** Looks from time to time, never twice at once. */
function again(everyMs: number, look: () => Promise<unknown>, wrong: AbortController): NodeJS.Timeout {
  let looking = false;
  return setInterval(() => {
    if (looking) return;
    looking = true;
    look()
      .catch((thrown: unknown) => {
        if (thrown instanceof Fault && thrown.code === 'WRONG_DEVICE') wrong.abort(thrown);
      })
      .finally(() => {
        looking = false;
      });
  }, everyMs);
}

export interface GateLimits {
  readonly bytesMax: number;
  readonly patienceMs: number;
}

/** `heard` resolves when it rings, or after a while. */
function bellFor(limitMs: number) {
  const waiting = new Set<() => void>();
  const ring = () => {
    for (const wake of waiting) wake();
    waiting.clear();
  };
  const heard = () => {
    const rung = new Promise<void>((resolve) => waiting.add(resolve));
    return Promise.race([rung, pause(limitMs, undefined, { ref: false })]);
  };
  return { ring, heard };
}

/** Counts what was written since the last look. What was under way when a look began may have come behind it. */
export function gateOf(
  url: string,
  glances: Pick<Glances, 'look' | 'throwIfWrong'>,
  { bytesMax, patienceMs: limitMs }: GateLimits = { bytesMax: unseenBytesMax, patienceMs },
): WriteGate {
  let [begun, ended, seen] = [0, 0, 0];
  let looking = false;
  const look = async () => {
    const before = ended;
    const same = await glances.look();
    if (same) seen = Math.max(seen, before);
    return same;
  };
  /** Early enough that nobody has to wait. */
  const lookAhead = () => {
    if (looking || begun - seen <= bytesMax / 2) return;
    looking = true;
    look()
      .catch(() => undefined)
      .finally(() => {
        looking = false;
      });
  };
  const bell = bellFor(glanceEveryMs);
  const isTooMuch = (bytes: number) => begun - seen + bytes > bytesMax;
  /** Counted with the last check of the limit: others ask meanwhile. */
  const begin = async (bytes: number, signal: AbortSignal) => {
    let silentSince: number | undefined;
    while (isTooMuch(bytes)) {
      if (!isInterrupted(signal)) throwIfCancelled(signal);
      const [before, askedAt] = [ended, performance.now()];
      // Who stops takes what is written to a place to go on from, and that waits for a look.
      const same = await (signal.aborted ? look() : unlessAborted(look(), signal));
      if (same === true) {
        silentSince = undefined;
        // What is on its way is too much by itself: another look helps only when some of it has ended.
        if (isTooMuch(bytes) && ended === before) await bell.heard();
        continue;
      }
      if (same === undefined) continue;
      // Who stops goes on another time, and does not wait for what is away.
      throwIfCancelled(signal);
      silentSince ??= askedAt;
      if (performance.now() - silentSince >= limitMs)
        throw deviceFailed(url, `none of its paths has said who it is for ${limitMs / 1000} s`);
      await pause(Math.min(glanceEveryMs, limitMs));
    }
    begun += bytes;
  };
  return {
    bytesMax,
    pass: async (bytes, signal) => {
      glances.throwIfWrong();
      await begin(bytes, signal);
      lookAhead();
      let open = true;
      return () => {
        if (open) ended += bytes;
        open = false;
        bell.ring();
      };
    },
  };
}
