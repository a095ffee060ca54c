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
import { interrupt, measure, run, wasInterrupted } from './measure/measure.ts';
import { type Options, type Part, readOptions, UsageError } from './options.ts';
import { writeIndexPage } from './report/index-page.ts';
import { writeReport } from './report/report.ts';
import { type IndexSample, Results, scaleGibibytes } from './results.ts';
import { makeVolumes, measureManyOfBasalt, measureManyOfLimit } from './suites/many.ts';
import { measureOneVolume } from './suites/one-volume.ts';
import { makeScaleFile, makeSparseFiles, measureScaleOf, measureSparse } from './suites/sparse.ts';
import {
  makeLargeFileSystem,
  measureFirstByte,
  measureMemoryFuse,
  measureMountOf,
  measureViewOfBasalt,
} from './suites/view.ts';

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

async function measureScale(
  contestants: readonly Contestant[],
  folder: string,
  options: Options,
  results: Results,
): Promise<void> {
  for (let round = 1; round <= options.rounds; round++) {
    const at = join(folder, 'scale');
    mkdirSync(at);
    for (const size of scaleGibibytes) {
      const file = await makeScaleFile(join(at, `${size}.img`), size, options);
      for (const { name } of contestants)
        if (name in memoryLimits)
          await measureScaleOf(name, limitOf(name), join(folder, `scale-${name}`), file, results);
      await rm(file.path);
    }
    await rm(at, { recursive: true });
    say(`round ${round}: scale`);
  }
}

/** `measured`: called after each size, as the largest may take longer than there is time. */
async function measureIndex(
  folder: string,
  options: Options,
  results: Results,
  measured: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (const entries of options.indexEntries) {
    const at = join(folder, `index-${entries}`);
    mkdirSync(at);
    await run([process.execPath, indexCost, 'fill', at, String(entries)]);
    say(`filled an index with ${entries} entries`);
    let printed = '';
    await measure(0, [], async (started) => {
      printed = await run([process.execPath, indexCost, 'measure', at, String(entries)], { started });
    });
    results.index.push(JSON.parse(printed) as IndexSample);
    await rm(at, { recursive: true });
    say(`index of ${entries} entries`);
    await measured();
  }
}

/** The rows of one volume. Gives those who came to the end of them. */
async function measureVolume(
  contestants: readonly Contestant[],
  images: Images,
  { tools, folder, options, results }: VolumeParts,
): Promise<Contestant[]> {
  const failed = new Set<Contestant>();
  const { reads, seed } = options;
  for (let round = 1; round <= options.rounds; round++)
    for (const contestant of contestants.filter((each) => !failed.has(each))) {
      const tell = (line: string) => say(`round ${round}: ${contestant.name}: ${line}`);
      try {
        const parts = { contestant, images, folder, results, reads, seed };
        await measureOneVolume({ ...parts, readsProgram: tools.reads, say: tell });
      } catch (thrown) {
        // An hour of measuring is not lost because one program broke; but the report says so, and so does the status.
        if (wasInterrupted()) throw thrown;
        failed.add(contestant);
        results.absent.set(contestant.name, `failed in round ${round}; its rows hold the rounds before`);
        tell(`failed: ${String(thrown)}`);
      }
    }
  return contestants.filter((each) => !failed.has(each));
}

/** Reads through mounts. */
async function measureViews(
  contestants: readonly Contestant[],
  images: Images,
  { tools, folder, options, results }: VolumeParts,
): Promise<void> {
  const large = join(folder, 'large');
  mkdirSync(large);
  const largeImage = await makeLargeFileSystem(large);
  say('made a file system of 1 TiB');
  for (let round = 1; round <= options.rounds; round++) {
    const tell = (line: string) => say(`round ${round}: ${line}`);
    const { seed, viewSeconds: seconds } = options;
    const parts = { folder, images, tools, results, seed, seconds, say: tell };
    for (const contestant of contestants) {
      const { name } = contestant;
      if (name in memoryLimits) {
        await measureViewOfBasalt(name, limitOf(name), parts);
        await measureFirstByte(name, limitOf(name), largeImage, parts);
      } else if (name === 'limit') await measureMemoryFuse(parts);
      else
        await measureMountOf(contestant, parts).catch((thrown: unknown) => {
          if (wasInterrupted()) throw thrown;
          tell(`${name}: its mount was not measured: ${String(thrown)}`);
        });
    }
  }
  await rm(large, { recursive: true });
}

async function makeImagesFor({ folder, options }: VolumeParts): Promise<Images> {
  const images = await makeImages(join(folder, 'images'), options.imageBytes, options.seed);
  say(`made the images, seed ${options.seed}: ${images.about}`);
  return images;
}

interface VolumeParts {
  readonly tools: Tools;
  readonly folder: string;
  readonly options: Options;
  readonly results: Results;
}

const secondsSinceBegin = (): number => (performance.now() - began) / 1000;

/** Gives the number of contestants that failed. */
async function measureAll(folder: string, options: Options): Promise<number> {
  const results = new Results();
  const takes = (part: Part) => options.parts.includes(part);
  if (options.parts.every((part) => part === 'index')) {
    await measureIndex(folder, options, results, async () =>
      say(`wrote ${await writeIndexPage(results, options, secondsSinceBegin())}`),
    );
    return 0;
  }
  const tools = buildTools(join(folder, 'tools'));
  const contestants = await present(contestantsOf(tools, options.only), results);
  for (const [name, why] of results.absent) say(`${name} does not take part: ${why}`);
  const parts = { tools, folder, options, results };
  const images = takes('volume') || takes('view') ? await makeImagesFor(parts) : undefined;
  const left =
    takes('volume') && images !== undefined ? await measureVolume(contestants, images, parts) : contestants;
  if (takes('view') && images !== undefined) await measureViews(left, images, parts);
  await rm(join(folder, 'images'), { recursive: true, force: true });
  if (takes('many')) await measureSideBySide(left, tools, folder, options, results);
  if (takes('sparse')) await measureEmptiness(left, folder, options, results);
  if (takes('scale')) await measureScale(left, folder, options, results);
  if (takes('index')) await measureIndex(folder, options, results);
  await writeReport({ results, options, contestants, images, seconds: secondsSinceBegin() });
  say(`wrote ${join(options.out, 'RESULTS.md')}`);
  return contestants.length - left.length;
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
