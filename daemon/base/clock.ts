/** Time as a part that is handed in, so that tests own it. No decision about data trusts a clock. */

export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
