/** The images of the run, made from files of the machine and a seed.
 *    files of /usr ─▶ ext4 ┐
 *    text, random, zeros  ─┴▶ image ─copy, rewrite pages▶ scattered, clustered
 *  Promises: every byte is written, so that nobody gains by holes; but for the machine's files the seed decides all. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { run } from '../measure/measure.ts';
import { Random } from './random.ts';

const pageBytes = 4 * KiB;
/** Pages of a run where rewrites are clustered: 256 KiB. */
const clusterPages = 64;
const stepBytes = 4 * MiB;

export interface Images {
  readonly base: string;
  /** 1 % of the pages of `base` rewritten, anywhere. */
  readonly scattered: string;
  /** As many, in runs of 256 KiB. */
  readonly clustered: string;
  readonly bytes: number;
  /** What was rewritten in each of the two. */
  readonly rewrittenBytes: { readonly scattered: number; readonly clustered: number };
  /** How it is made up, for the report. */
  readonly about: string;
}

export async function makeImages(folder: string, bytes: number, seed: number): Promise<Images> {
  await mkdir(folder);
  const base = join(folder, 'base.img');
  const part = (share: number) => Math.floor((bytes * share) / MiB) * MiB;
  const system = await makeFileSystem(folder, part(0.72), seed);
  const [text, noise] = [part(0.08), part(0.1)];
  const image = await open(base, 'w');
  const random = new Random(seed, 'image');
  try {
    await copyInto(image, system.path);
    await fill(image, text, (length) => random.text(length));
    await fill(image, noise, (length) => random.bytes(length));
    await fill(image, bytes - part(0.72) - text - noise, (length) => Buffer.alloc(length));
  } finally {
    await image.close();
  }
  await rm(system.path);
  const share = (amount: number) => `${Math.round((amount * 100) / bytes)} %`;
  const about =
    `ext4 of ${share(part(0.72))} of the image with ${system.files} files of this machine's /usr ` +
    `(${Math.round(system.bytes / MiB)} MiB), then text ${share(text)}, random ${share(noise)}, the rest zeros`;
  const scattered = await rewritten(
    base,
    join(folder, 'scattered.img'),
    bytes,
    1,
    new Random(seed, 'scattered'),
  );
  const clustered = await rewritten(
    base,
    join(folder, 'clustered.img'),
    bytes,
    clusterPages,
    new Random(seed, 'clustered'),
  );
  const rewrittenBytes = {
    scattered: runsOf(bytes, 1) * pageBytes,
    clustered: runsOf(bytes, clusterPages) * clusterPages * pageBytes,
  };
  return { base, scattered, clustered, bytes, rewrittenBytes, about };
}

async function fill(file: FileHandle, bytes: number, make: (length: number) => Buffer): Promise<void> {
  for (let left = bytes; left > 0; left -= stepBytes) await file.write(make(Math.min(left, stepBytes)));
}

async function copyInto(file: FileHandle, path: string): Promise<void> {
  for await (const piece of createReadStream(path, { highWaterMark: stepBytes }))
    await file.write(piece as Buffer);
}

/** An ext4 with files in an order that the seed decides, filled to some four fifths. */
async function makeFileSystem(
  folder: string,
  bytes: number,
  seed: number,
): Promise<{ path: string; files: number; bytes: number }> {
  const listed = await run([
    'find',
    '/usr',
    '-xdev',
    '-type',
    'f',
    '-readable',
    '-size',
    '-64M',
    '-printf',
    '%s %P\\0',
  ]);
  const rank = (name: string) => createHash('sha256').update(`${seed} ${name}`).digest('hex');
  const files = listed
    .split('\0')
    .filter((line) => line !== '' && !line.includes('\n'))
    .map((line) => ({ size: Number.parseInt(line, 10), name: line.slice(line.indexOf(' ') + 1) }))
    .map((file) => ({ ...file, rank: rank(file.name) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  // The journal, inodes, tables and folders take the rest.
  let left = bytes * 0.8;
  const chosen = files.filter(({ size }) => {
    const taken = Math.ceil(size / pageBytes) * pageBytes + 4 * KiB;
    if (taken > left) return false;
    left -= taken;
    return true;
  });
  const tree = join(folder, 'tree');
  const list = join(folder, 'chosen');
  const path = join(folder, 'ext4.img');
  await mkdir(tree);
  await writeFile(list, chosen.map(({ name }) => `${name}\0`).join(''));
  await run([
    'sh',
    '-c',
    'tar -C /usr --null --no-recursion -T "$0" -cf - | tar -C "$1" --no-same-owner -xf -',
    list,
    tree,
  ]);
  await truncate(await touched(path), bytes);
  const uuid = '6a1f0000-0000-4000-8000-000000000001';
  await run(['mkfs.ext4', '-q', '-F', '-b', '4096', '-i', '8192', '-U', uuid, '-d', tree, path]);
  await rm(tree, { recursive: true });
  return { path, files: chosen.length, bytes: chosen.reduce((sum, { size }) => sum + size, 0) };
}

const runsOf = (bytes: number, together: number): number =>
  Math.max(1, Math.round((bytes * 0.01) / (together * pageBytes)));

async function touched(path: string): Promise<string> {
  await writeFile(path, '');
  return path;
}

/** A copy in which 1 % of the pages, in runs of `together`, have new bytes: half of them random, half text. */
async function rewritten(
  base: string,
  path: string,
  bytes: number,
  together: number,
  random: Random,
): Promise<string> {
  await pipeline(createReadStream(base, { highWaterMark: stepBytes }), createWriteStream(path));
  const runBytes = pageBytes * together;
  const runs = runsOf(bytes, together);
  const chosen = new Set<number>();
  while (chosen.size < runs) chosen.add(random.below(Math.floor(bytes / runBytes)));
  const file = await open(path, 'r+');
  try {
    let index = 0;
    for (const position of chosen) {
      const made = index++ % 2 === 0 ? random.bytes(runBytes) : random.text(runBytes);
      await file.write(made, 0, runBytes, position * runBytes);
    }
  } finally {
    await file.close();
  }
  return path;
}

/** A file of random bytes. */
export async function makeNoise(path: string, bytes: number, random: Random): Promise<void> {
  const file = await open(path, 'w');
  try {
    await fill(file, bytes, (length) => random.bytes(length));
  } finally {
    await file.close();
  }
}

/** The first `bytes` of `from` in a file of `size` bytes, in pieces of 1 MiB that lie evenly over it; the rest is a hole.
 *  Gives the size that the file system took, which may end just below what was asked for. */
export async function makeSparse(from: string, path: string, bytes: number, size: number): Promise<number> {
  const source = await open(from, 'r');
  const target = await open(path, 'w');
  try {
    const made = await target.truncate(size).then(
      () => size,
      // The largest file of ext4 ends a page before 16 TiB.
      () => target.truncate(size - MiB).then(() => size - MiB),
    );
    const pieces = Math.ceil(bytes / MiB);
    const piece = Buffer.alloc(MiB);
    for (let i = 0; i < pieces; i++) {
      const { bytesRead } = await source.read(piece, 0, MiB, i * MiB);
      const position = Math.floor(((made / pieces) * i) / MiB) * MiB;
      await target.write(piece, 0, bytesRead, position);
    }
    return (await stat(path)).size;
  } finally {
    await source.close();
    await target.close();
  }
}
