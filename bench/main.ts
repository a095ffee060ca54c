/** `make bench`: makes the data, measures Basalt, its peers and the limit in turn, and writes the report.
 *  Promises: one temporary folder, removed at the end, whatever happens; everything reported was measured in this run. */

import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiB } from '../daemon/base/bytes.ts';
import { basalt } from './contestants/basalt.ts';
import type { Contestant } from './contestants/contestant.ts';
import { buildTools, cat, limit, readAndHash, type Tools, zstd } from './contestants/limit.ts';
import { borg, cinder, restic } from './contestants/peers.ts';
import { type Images, makeImages } from './data/images.ts';
import { interrupt, run, wasInterrupted } from './measure/measure.ts';
import { type Options, readOptions, UsageError } from './options.ts';
import { writeReport } from './report/report.ts';
import { type IndexSample, Results } from './results.ts';
import { makeVolumes, measureManyOfBasalt, measureManyOfLimit } from './suites/many.ts';
import { measureOneVolume } from './suites/one-volume.ts';
import { makeSparseFiles, measureSparse } from './suites/sparse.ts';

const indexCost = fileURLToPath(new URL('./suites/index-cost.js', import.meta.url));
const memoryLimits = { basalt: '256MiB', 'basalt-64': '64MiB' } as const;

const began = performance.now();
function say(line: string): void {
  console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${line}`);
}

function contestantsOf(tools: Tools, only: readonly string[]): Contestant[] {
  const own = Object.entries(memoryLimits).map(([name, memoryLimit]) => basalt(name, memoryLimit));
  const peers = [cinder('zlib'), cinder('zstd'), cinder('none'), restic, borg];
  const all = [...own, limit(tools), readAndHash(tools), cat, zstd, ...peers];
  const unknown = only.filter((name) => all.every((contestant) => contestant.name !== name));
  if (unknown.length > 0) throw new UsageError(`bench: BENCH_ONLY names nobody known: ${unknown.join(', ')}`);
  return all.filter(({ name }) => only.length === 0 || only.includes(name));
}

async function present(contestants: readonly Contestant[], results: Results): Promise<Contestant[]> {
  const there: Contestant[] = [];
  for (const contestant of contestants) {
    const why = await contestant.missing();
    if (why === undefined) there.push(contestant);
    else results.absent.set(contestant.name, why);
  }
  return there;
}

async function measureSideBySide(
  contestants: readonly Contestant[],
  tools: Tools,
  folder: string,
  options: Options,
  results: Results,
): Promise<void> {
  const bytes = Math.floor(options.imageBytes / 16 / MiB) * MiB;
  const volumes = await makeVolumes(join(folder, 'many'), bytes, options.seed);
  say(`made 15 volumes of ${bytes / MiB} MiB`);
  for (let round = 1; round <= options.rounds; round++) {
    for (const { name } of contestants) {
      const at = join(folder, `many-${name}`);
      if (name in memoryLimits) await measureManyOfBasalt(name, limitOf(name), at, volumes, results);
      else if (name === 'limit') await measureManyOfLimit(tools.limit, at, volumes, bytes, results);
    }
    say(`round ${round}: 15 at once`);
  }
  await rm(join(folder, 'many'), { recursive: true });
}

const limitOf = (name: string): string => memoryLimits[name as keyof typeof memoryLimits];

async function measureEmptiness(
  contestants: readonly Contestant[],
  folder: string,
  options: Options,
  results: Results,
): Promise<void> {
  const files = await makeSparseFiles(join(folder, 'sparse'), options.imageBytes / 4, options.seed);
  for (let round = 1; round <= options.rounds; round++) {
    for (const { name } of contestants)
      if (name in memoryLimits)
        await measureSparse(name, limitOf(name), join(folder, `sparse-${name}`), files, results);
    say(`round ${round}: sparse`);
  }
  await rm(join(folder, 'sparse'), { recursive: true });
}

async function measureIndex(folder: string, options: Options, results: Results): Promise<void> {
  for (const entries of options.indexEntries) {
    const at = join(folder, `index-${entries}`);
    mkdirSync(at);
    await run([process.execPath, indexCost, 'fill', at, String(entries)]);
    say(`filled an index with ${entries} entries`);
    const printed = await run([process.execPath, indexCost, 'measure', at, String(entries)]);
    results.index.push(JSON.parse(printed) as IndexSample);
    await rm(at, { recursive: true });
    say(`index of ${entries} entries`);
  }
}

/** Gives the number of contestants that failed. */
async function measureAll(folder: string, options: Options): Promise<number> {
  const results = new Results();
  const tools = buildTools(join(folder, 'tools'));
  const contestants = await present(contestantsOf(tools, options.only), results);
  for (const [name, why] of results.absent) say(`${name} does not take part: ${why}`);
  const images: Images = await makeImages(join(folder, 'images'), options.imageBytes, options.seed);
  say(`made the images, seed ${options.seed}: ${images.about}`);
  const failed = new Set<Contestant>();
  for (let round = 1; round <= options.rounds; round++)
    for (const contestant of contestants.filter((each) => !failed.has(each))) {
      const tell = (line: string) => say(`round ${round}: ${contestant.name}: ${line}`);
      const { reads, seed } = options;
      const parts = {
        contestant,
        images,
        folder,
        results,
        reads,
        seed,
        readsProgram: tools.reads,
        say: tell,
      };
      try {
        await measureOneVolume(parts);
      } catch (thrown) {
        // An hour of measuring is not lost because one program broke; but the report says so, and so does the status.
        if (wasInterrupted()) throw thrown;
        failed.add(contestant);
        results.absent.set(contestant.name, `failed in round ${round}; its rows hold the rounds before`);
        tell(`failed: ${String(thrown)}`);
      }
    }
  await rm(join(folder, 'images'), { recursive: true });
  const left = contestants.filter((each) => !failed.has(each));
  await measureSideBySide(left, tools, folder, options, results);
  await measureEmptiness(left, folder, options, results);
  await measureIndex(folder, options, results);
  await writeReport({ results, options, contestants, images, seconds: (performance.now() - began) / 1000 });
  say(`wrote ${join(options.out, 'RESULTS.md')}`);
  return failed.size;
}

async function main(): Promise<number> {
  let folder: string | undefined;
  try {
    const options = readOptions(process.argv.slice(2), process.env);
    folder = await mkdtemp(join(options.parent, 'basalt-bench-'));
    return (await measureAll(folder, options)) === 0 ? 0 : 1;
  } catch (thrown) {
    if (wasInterrupted()) {
      console.error('bench: interrupted; what it had made is removed');
      return 130;
    }
    if (!(thrown instanceof UsageError)) throw thrown;
    console.error(thrown.message);
    return 64;
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
process.exitCode = await main();
