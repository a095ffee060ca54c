/** What the steps of one attach, look or detach share: the context, what it is called in messages, and how long it may take.
 *  Promises: waiting ends with the limit, and at once when it is cancelled. */

import { setTimeout as pause } from 'node:timers/promises';
import type { ConnectContext } from '../connector.ts';

export interface Scene {
  readonly context: ConnectContext;
  /** The URL, for messages. */
  readonly what: string;
  /** Milliseconds that are left of the whole. */
  leftMs(): number;
}

export function sceneOf(context: ConnectContext, what: string): Scene {
  const end = performance.now() + context.policy.timeoutMs;
  return { context, what, leftMs: () => Math.max(0, end - performance.now()) };
}

/** Sleeps; throws why it was cancelled. */
export async function rest({ context: { signal } }: Scene, milliseconds: number): Promise<void> {
  signal.throwIfAborted();
  await pause(milliseconds, undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}

export interface Waiting {
  readonly limitMs: number;
  readonly everyMs?: number;
  /** Called from time to time while nothing came: for people, and to try again what may have been lost. */
  readonly meanwhile?: (elapsedMs: number) => Promise<void> | void;
}

/** What `look` finds, or undefined where it found nothing until the limit; it looks at least once. */
export async function until<T>(
  scene: Scene,
  look: () => Promise<T | undefined>,
  { limitMs, everyMs = 100, meanwhile }: Waiting,
): Promise<T | undefined> {
  const began = performance.now();
  const limit = Math.min(limitMs, scene.leftMs());
  for (;;) {
    const found = await look();
    const elapsed = performance.now() - began;
    if (found !== undefined || elapsed >= limit) return found;
    await meanwhile?.(elapsed);
    await rest(scene, everyMs);
  }
}
