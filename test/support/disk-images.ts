/** Real file systems in files: made by their own programs, filled through a loop device, and left clean. */

import { execFile } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MiB } from '../../daemon/base/bytes.ts';
import { findLoops } from '../../daemon/view/loop-devices.ts';
import { expected } from './view-source.ts';

const execute = promisify(execFile);

/** What the program wrote; rejects with all that it wrote where it fails. */
export async function run(program: string, ...words: string[]): Promise<string> {
  try {
    return (await execute(program, words)).stdout.trim();
  } catch (thrown) {
    const { stdout, stderr } = thrown as { stdout: string; stderr: string };
    throw new Error(`${program} ${words.join(' ')}: ${stdout}${stderr}`, { cause: thrown });
  }
}

export type FileSystemKind = 'ext2' | 'ext3' | 'ext4' | 'xfs' | 'btrfs';

/** Some files in folders, small and large. */
export async function makeFiles(folder: string): Promise<void> {
  await mkdir(join(folder, 'a', 'b'), { recursive: true });
  await writeFile(join(folder, 'large'), expected(7, 0, 12 * MiB + 17));
  await writeFile(join(folder, 'empty'), '');
  for (let number = 0; number < 40; number++) {
    await writeFile(join(folder, 'a', 'b', `file ${number}`), expected(number, 0, 1000 * number));
  }
}

export async function makeFileSystem(
  kind: FileSystemKind,
  image: string,
  sizeBytes: number,
  files: string,
): Promise<void> {
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  const quiet = kind === 'xfs' || kind === 'btrfs' ? ['-q', '-f'] : ['-q', '-F'];
  await run(`mkfs.${kind}`, ...quiet, image);
  const mountPoint = `${image}.mounted`;
  await mkdir(mountPoint);
  await run('mount', '-o', 'loop', image, mountPoint);
  try {
    await run('cp', '-a', `${files}/.`, mountPoint);
  } finally {
    await run('umount', mountPoint);
    await loopGone(image);
  }
}

/** The image is at rest when the kernel has ended the loop device over it, which it may do a little later. */
async function loopGone(image: string): Promise<void> {
  for (let tries = 0; (await findLoops((file) => file === image)).length > 0; tries++) {
    if (tries === 100) throw new Error(`a loop device over "${image}" stays`);
    await wait(50);
  }
}

/** A disk with a GPT and one partition for each image, in order, each aligned to a MiB. */
export async function makeDisk(
  image: string,
  partitions: readonly string[],
  partitionMiB: number,
): Promise<void> {
  await writeFile(image, '');
  await truncate(image, (partitions.length * partitionMiB + 2) * MiB);
  const rows = partitions.map(
    (_, at) => `start=${(1 + at * partitionMiB) * 2048},size=${partitionMiB * 2048}`,
  );
  const script = `${image}.sfdisk`;
  await writeFile(script, ['label: gpt', ...rows, ''].join('\n'));
  await run('sh', '-c', 'sfdisk -q "$1" < "$2"', 'sh', image, script);
  for (const [at, partition] of partitions.entries()) {
    const seek = String(1 + at * partitionMiB);
    await run(
      'dd',
      `if=${partition}`,
      `of=${image}`,
      'bs=1M',
      `seek=${seek}`,
      'conv=notrunc,sparse',
      'status=none',
    );
  }
}
