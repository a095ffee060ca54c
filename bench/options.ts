/** What a run is asked to do, from the environment and the flags. Promises: what cannot be understood is refused before
 *  anything is made. Knows nothing of how it is done. */

import { GiB, MiB } from '../daemon/base/bytes.ts';

/** What can be measured by itself; the index alone has a page of its own, as its largest sizes take longer than all the rest. */
const partNames = ['volume', 'view', 'many', 'sparse', 'scale', 'index'] as const;
export type Part = (typeof partNames)[number];

export interface Options {
  /** Size of the image that the rows of one volume are measured with. */
  readonly imageBytes: number;
  readonly rounds: number;
  /** Entries of the index at which look-ups are measured. */
  readonly indexEntries: readonly number[];
  /** Random reads in each pass over the view. */
  readonly reads: number;
  /** How long reads through a mount are repeated. */
  readonly viewSeconds: number;
  /** What is measured. */
  readonly parts: readonly Part[];
  /** Names of the only contestants that take part; empty: all. */
  readonly only: readonly string[];
  /** Where the one temporary folder is made: on a real disk, not in memory. */
  readonly parent: string;
  /** Folder that receives `RESULTS.md` and the plots. */
  readonly out: string;
  readonly seed: number;
  /** How the run was started, for the report. */
  readonly command: string;
}

export const usage = `bench [--smoke] [--out FOLDER]

  --smoke       a 64 MiB image, one round, no peers: shows that the bench works, measures nothing worth knowing
  --out FOLDER  where RESULTS.md, or INDEX.md, and the plots go (default: bench)

Environment:
  BENCH_GIB     size of the image in GiB (4)
  BENCH_ROUNDS  rounds; the medians are reported (3)
  BENCH_INDEX   largest index, in million entries: 1, 10 or 100 (1)
  BENCH_PARTS   what is measured, comma between: volume, view, many, sparse, scale, index (all);
                "index" alone writes INDEX.md and leaves RESULTS.md as it is
  BENCH_ONLY    names of contestants, comma between: only these take part
  BENCH_DIR     where the temporary folder is made (/var/tmp)
  BENCH_SEED    seed of everything random (1)
`;

export class UsageError extends Error {}

export function readOptions(words: readonly string[], environment: NodeJS.ProcessEnv): Options {
  let smoke = false;
  let out = 'bench';
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === '--help') throw new UsageError(usage);
    if (word === '--smoke') smoke = true;
    else if (word === '--out') out = words[++i] ?? fail('--out needs a folder');
    else fail(`"${word}" is not known`);
  }
  const set = (name: string) => environment[`BENCH_${name}`] || undefined;
  const number = (name: string, initial: number, least: number) => {
    const value = Number(set(name) ?? initial);
    return value >= least ? value : fail(`BENCH_${name} must be a number, at least ${least}`);
  };
  const millions = number('INDEX', 1, 1);
  const list = (text: string) => text.split(',').filter((name) => name !== '');
  const only = list(set('ONLY') ?? (smoke ? 'basalt,limit,hash,cat' : ''));
  const parts = list(set('PARTS') ?? partNames.join(',')).map(
    (name) => partNames.find((part) => part === name) ?? fail(`BENCH_PARTS names nothing known: ${name}`),
  );
  // Where things are made says nothing of what was measured, and is nobody's business.
  const variables = Object.keys(environment)
    .filter((name) => name.startsWith('BENCH_') && name !== 'BENCH_DIR')
    .sort();
  return {
    imageBytes: smoke ? 64 * MiB : Math.round((number('GIB', 4, 0.0625) * GiB) / (16 * MiB)) * 16 * MiB,
    rounds: smoke ? 1 : Math.floor(number('ROUNDS', 3, 1)),
    indexEntries: smoke ? [20_000] : [1e6, 1e7, 1e8].filter((entries) => entries <= millions * 1e6),
    reads: smoke ? 200 : 2000,
    viewSeconds: smoke ? 0.2 : 2,
    parts,
    only,
    parent: set('DIR') ?? '/var/tmp',
    out,
    seed: Math.floor(number('SEED', 1, 0)),
    command: [
      ...variables.map((name) => `${name}=${environment[name]}`),
      smoke ? 'node dist/bench/main.js --smoke' : 'make bench',
    ].join(' '),
  };
}

function fail(why: string): never {
  throw new UsageError(`bench: ${why}\n\n${usage}`);
}
