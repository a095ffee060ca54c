/** One measurement, and what several of them come to. */

export interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  /** Bytes of the volume that it is about, for throughput. */
  readonly bytes: number;
  /** What the repository grew by. */
  readonly storedBytes?: number;
  /** How late the event loop of the daemon was, 99 times of 100 less. */
  readonly loopP99Ms?: number;
}

export interface Summary extends Sample {
  readonly rounds: number;
  readonly fastestSeconds: number;
  readonly slowestSeconds: number;
  /** The highest of all rounds: a bound on memory is one for every run. */
  readonly highestRssBytes: number;
  readonly highestLoopP99Ms?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? Number.NaN)) / 2 : upper;
}

export function summarise(samples: readonly Sample[]): Summary {
  const of = (value: (sample: Sample) => number) => samples.map(value);
  const stored = samples.flatMap(({ storedBytes }) => (storedBytes === undefined ? [] : [storedBytes]));
  const late = samples.flatMap(({ loopP99Ms }) => (loopP99Ms === undefined ? [] : [loopP99Ms]));
  return {
    rounds: samples.length,
    seconds: median(of((sample) => sample.seconds)),
    fastestSeconds: Math.min(...of((sample) => sample.seconds)),
    slowestSeconds: Math.max(...of((sample) => sample.seconds)),
    cpuSeconds: median(of((sample) => sample.cpuSeconds)),
    peakRssBytes: median(of((sample) => sample.peakRssBytes)),
    highestRssBytes: Math.max(...of((sample) => sample.peakRssBytes)),
    bytes: samples[0]?.bytes ?? 0,
    ...(stored.length === 0 ? {} : { storedBytes: median(stored) }),
    ...(late.length === 0 ? {} : { loopP99Ms: median(late), highestLoopP99Ms: Math.max(...late) }),
  };
}
