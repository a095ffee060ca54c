/** Reading backups through their mounts: Basalt's view, a C program that serves memory (the limit), and what peers mount.
 *  Promises: what is called cold was emptied from the page cache, and the server was started anew; what is called cached never
 *  passes through the page cache of the kernel, so that the server answers each read; all mounts are undone. */

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB, MiB } from '../../daemon/base/bytes.ts';
import { BasaltSession } from '../contestants/basalt.ts';
import type { Contestant } from '../contestants/contestant.ts';
import type { Tools } from '../contestants/limit.ts';
import { serveMount } from '../contestants/mounted.ts';
import type { Images } from '../data/images.ts';
import { measure, run } from '../measure/measure.ts';
import type { Results, ViewKind } from '../results.ts';

/** What fits into the cache of the view, an eighth of the memory limit, at the smallest limit too. */
const hotMiB = 4;
const threads = 16;

export interface ViewParts {
  readonly folder: string;
  readonly images: Images;
  readonly tools: Tools;
  readonly results: Results;
  readonly seed: number;
  /** How long what is repeated is repeated. */
  readonly seconds: number;
  readonly say: (line: string) => void;
}

type Reads = readonly [ViewKind, ...string[]];

/** Runs one kind of reads with nothing in the page cache. */
async function read(
  parts: ViewParts,
  who: string,
  path: string,
  [kind, what = '', ...more]: Reads,
): Promise<void> {
  let printed = '';
  await measure(0, [], async (started) => {
    printed = await run([parts.tools.viewReads, what, path, ...more], { started });
  });
  parts.results.addView(kind, who, Number(printed));
  parts.say(`${who}: ${kind} ${printed.trim()}`);
}

const cached = ({ seconds, seed }: ViewParts): Reads[] => [
  ['cachedSequential', 'sequential', String(seconds), String(hotMiB)],
  ['cachedRandom', 'random', String(seconds), String(hotMiB), String(threads), String(seed)],
];
const cold: Reads = ['coldSequential', 'whole'];

export async function measureViewOfBasalt(
  name: string,
  memoryLimit: string,
  parts: ViewParts,
): Promise<void> {
  const folder = join(parts.folder, `view-${name}`);
  await mkdir(folder);
  let session = await BasaltSession.open(folder, memoryLimit);
  try {
    const { id } = await session.backUp(parts.images.base);
    const restored = join(folder, 'restored.img');
    const { bytes, seconds } = await session.restore(id, restored, false);
    parts.results.addView('restore', name, bytes / MiB / seconds);
    await rm(restored);
    await session.close();
    session = await BasaltSession.open(folder, memoryLimit, true);
    const image = await session.imageOf(id);
    await read(parts, name, image, cold);
    for (const reads of cached(parts)) await read(parts, name, image, reads);
  } finally {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The C program: the limit of what is in memory. */
export async function measureMemoryFuse(parts: ViewParts): Promise<void> {
  const at = join(parts.folder, 'memory-fuse');
  await mkdir(at);
  const mounted = await serveMount([parts.tools.memoryFuse, at, String(hotMiB)], at, join(at, 'image'));
  try {
    for (const reads of cached(parts)) await read(parts, 'c-fuse', mounted.path, reads);
  } finally {
    await mounted.unmount();
    await rm(at, { recursive: true });
  }
}

/** What another program mounts of a backup that it has made of the same image. */
export async function measureMountOf(contestant: Contestant, parts: ViewParts): Promise<void> {
  const folder = join(parts.folder, `view-${contestant.name}`);
  const at = join(folder, 'mounted');
  await mkdir(at, { recursive: true });
  const session = await contestant.open(folder);
  try {
    const backup = session.mount === undefined ? undefined : await session.backUp(parts.images.base);
    if (backup === undefined || session.mount === undefined) return;
    const mounted = await session.mount(backup.id, at);
    try {
      // Not every server of files takes reads past the page cache.
      for (const reads of [cold, ...cached(parts)])
        await read(parts, contestant.name, mounted.path, reads).catch((thrown: unknown) =>
          parts.say(`${contestant.name}: ${reads[0]} not measured: ${String(thrown)}`),
        );
    } finally {
      await mounted.unmount();
    }
  } finally {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const teraByteFolders = 40;

/** A file system of 1 TiB with a few thousand files, all but empty. */
export async function makeLargeFileSystem(folder: string): Promise<string> {
  const tree = join(folder, 'tree');
  for (let i = 0; i < teraByteFolders; i++) {
    await mkdir(join(tree, `folder-${i}`), { recursive: true });
    await run([
      'sh',
      '-c',
      `for n in $(seq 100); do echo "$n" >"${join(tree, `folder-${i}`)}/file-$n"; done`,
    ]);
  }
  const image = join(folder, 'large.img');
  const features = ['-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard'];
  await run(['truncate', '-s', String(1024 * GiB), image]);
  await run(['mke2fs', '-q', '-F', '-t', 'ext4', ...features, '-d', tree, image]);
  await rm(tree, { recursive: true });
  return image;
}

export async function measureFirstByte(
  name: string,
  memoryLimit: string,
  image: string,
  parts: ViewParts,
): Promise<void> {
  const folder = join(parts.folder, `first-${name}`);
  await mkdir(folder);
  let session = await BasaltSession.open(folder, memoryLimit);
  try {
    const { id } = await session.backUp(image);
    await session.close();
    session = await BasaltSession.open(folder, memoryLimit, true);
    const files = join(await session.imageOf(id), '..', 'files');
    const file = join(files, `folder-${teraByteFolders - 1}`, 'file-100');
    await read(parts, name, file, ['firstByte', 'first']);
  } finally {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  }
}
