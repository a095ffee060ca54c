/** The same data as a plain file and spread over a sparse file of 16 TiB: what emptiness costs. */

import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB } from '../../daemon/base/bytes.ts';
import { BasaltSession } from '../contestants/basalt.ts';
import { makeNoise, makeSparse } from '../data/images.ts';
import { Random } from '../data/random.ts';
import type { Results } from '../results.ts';

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
