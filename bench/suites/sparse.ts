/** The same data as a plain file and spread over a sparse file of 16 TiB, and over volumes from 1 GiB to 1 TiB: what emptiness
 *  and size cost. */

import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB, MiB } from '../../daemon/base/bytes.ts';
import { BasaltSession } from '../contestants/basalt.ts';
import { makeNoise, makeSparse } from '../data/images.ts';
import { Random } from '../data/random.ts';
import type { Options } from '../options.ts';
import type { Results, ScaleGibibytes } from '../results.ts';

export interface SparseFiles {
  readonly plain: string;
  readonly sparse: string;
  readonly dataBytes: number;
  readonly sparseBytes: number;
}

export async function makeSparseFiles(folder: string, dataBytes: number, seed: number): Promise<SparseFiles> {
  await mkdir(folder);
  const [plain, sparse] = [join(folder, 'plain.img'), join(folder, 'sparse.img')];
  await makeNoise(plain, dataBytes, new Random(seed, 'sparse'));
  return {
    plain,
    sparse,
    dataBytes,
    sparseBytes: await makeSparse(plain, sparse, dataBytes, 16 * 1024 * GiB),
  };
}

export async function measureSparse(
  name: string,
  memoryLimit: string,
  folder: string,
  files: SparseFiles,
  results: Results,
): Promise<void> {
  for (const row of ['plainFile', 'sparseFile'] as const) {
    await mkdir(folder);
    const session = await BasaltSession.open(folder, memoryLimit);
    try {
      const { sample } = await session.backUp(row === 'plainFile' ? files.plain : files.sparse);
      // Throughput is that of the data: what the holes have in bytes says nothing.
      results.add(row, name, sample && { ...sample, bytes: (await stat(files.plain)).size });
    } finally {
      await session.close();
      await rm(folder, { recursive: true, force: true });
    }
  }
}

export interface ScaleFile {
  readonly path: string;
  readonly gibibytes: ScaleGibibytes;
  readonly dataBytes: number;
}

const scaleBytesMax = 512 * MiB;

/** A sparse file with as many bytes of data as those of all other sizes have. */
export async function makeScaleFile(
  path: string,
  gibibytes: ScaleGibibytes,
  { imageBytes, seed }: Pick<Options, 'imageBytes' | 'seed'>,
): Promise<ScaleFile> {
  const dataBytes = Math.min(scaleBytesMax, imageBytes / 2);
  const data = `${path}.data`;
  await makeNoise(data, dataBytes, new Random(seed, 'scale'));
  await makeSparse(data, path, dataBytes, gibibytes * GiB);
  await rm(data);
  return { path, gibibytes, dataBytes };
}

export async function measureScaleOf(
  name: string,
  memoryLimit: string,
  folder: string,
  { path, gibibytes, dataBytes }: ScaleFile,
  results: Results,
): Promise<void> {
  await mkdir(folder);
  const session = await BasaltSession.open(folder, memoryLimit);
  try {
    const full = await session.backUp(path);
    const again = await session.backUp(path, full.id);
    results.add(`full${gibibytes}`, name, full.sample && { ...full.sample, bytes: dataBytes });
    results.add(`unchanged${gibibytes}`, name, again.sample && { ...again.sample, bytes: dataBytes });
  } finally {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  }
}
