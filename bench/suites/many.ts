/** Fifteen volumes at once, with bytes that do not compress and are all different: backups, then restores.
 *  Basalt does them in one daemon; the limit is fifteen of its programs. Promises: what was restored is compared. */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BasaltSession } from '../contestants/basalt.ts';
import { makeNoise } from '../data/images.ts';
import { Random } from '../data/random.ts';
import { measure, run } from '../measure/measure.ts';
import type { Results } from '../results.ts';

export const manyVolumes = 15;

export async function makeVolumes(folder: string, bytes: number, seed: number): Promise<string[]> {
  await mkdir(folder);
  const paths = Array.from({ length: manyVolumes }, (_, i) => join(folder, `volume-${i}.img`));
  for (const [i, path] of paths.entries()) await makeNoise(path, bytes, new Random(seed, `volume ${i}`));
  return paths;
}

async function inFolder(
  folder: string,
  work: (targets: (i: number) => string) => Promise<void>,
): Promise<void> {
  await mkdir(folder);
  try {
    await work((i) => join(folder, `restored-${i}.img`));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compareAll(volumes: readonly string[], target: (i: number) => string): Promise<void> {
  for (const [i, path] of volumes.entries()) await run(['cmp', path, target(i)]);
}

export function measureManyOfBasalt(
  name: string,
  memoryLimit: string,
  folder: string,
  volumes: readonly string[],
  results: Results,
): Promise<void> {
  return inFolder(folder, async (target) => {
    const session = await BasaltSession.open(folder, memoryLimit);
    try {
      const { ids, sample } = await session.backUpAll(volumes, false);
      results.add('manyBackups', name, sample);
      const targets = volumes.map((_, i) => target(i));
      results.add('manyRestores', name, await session.restoreAll(ids, targets, false));
      await compareAll(volumes, target);
    } finally {
      await session.close();
    }
  });
}

export function measureManyOfLimit(
  program: string,
  folder: string,
  volumes: readonly string[],
  bytes: number,
  results: Results,
): Promise<void> {
  return inFolder(folder, async (target) => {
    const made = volumes.map((_, i) => join(folder, `backup-${i}`));
    await Promise.all(made.map((path) => mkdir(path)));
    const all = (words: (i: number) => string[]) =>
      measure(bytes * volumes.length, [], (started) =>
        Promise.all(volumes.map((_, i) => run([program, ...words(i)], { started }))),
      );
    results.add('manyBackups', 'limit', await all((i) => ['backup', volumes[i] ?? '', made[i] ?? '']));
    results.add('manyRestores', 'limit', await all((i) => ['restore', made[i] ?? '', target(i)]));
    await compareAll(volumes, target);
  });
}
