/** The rows of one volume: full, incrementals, restores, and random reads of the view, for one contestant and round.
 *  Promises: what was restored is compared with the image; nothing of the contestant stays on the disk. */

import { link, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contestant, Session } from '../contestants/contestant.ts';
import type { Images } from '../data/images.ts';
import { measure, run } from '../measure/measure.ts';
import type { ReadSample, Results } from '../results.ts';

export interface OneVolumeParts {
  readonly contestant: Contestant;
  readonly images: Images;
  readonly folder: string;
  readonly results: Results;
  readonly readsProgram: string;
  readonly reads: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

export async function measureOneVolume(parts: OneVolumeParts): Promise<void> {
  const folder = join(parts.folder, parts.contestant.name);
  await mkdir(folder);
  const session = await parts.contestant.open(folder);
  try {
    await measureSession(parts, session, folder);
  } finally {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureSession(parts: OneVolumeParts, session: Session, folder: string): Promise<void> {
  const { contestant, images, results, say } = parts;
  // The same path for all states of the volume, so that it is the same volume to everybody.
  const volume = join(folder, 'volume.img');
  const become = async (image: string) => {
    await rm(volume, { force: true });
    await link(image, volume);
  };
  await become(images.base);
  const full = await session.backUp(volume);
  if (full === undefined) return;
  results.add('full', contestant.name, full.sample);
  if (full.sample !== undefined) say(`full ${full.sample.seconds.toFixed(2)} s`);
  for (const row of ['unchanged', 'scattered', 'clustered'] as const) {
    if (row !== 'unchanged') await become(images[row]);
    const sample = (await session.backUp(volume, full.id))?.sample;
    results.add(row, contestant.name, sample);
    if (sample !== undefined) say(`${row} ${sample.seconds.toFixed(2)} s`);
  }
  await measureRestores(parts, session, full.id, join(folder, 'restored.img'));
  if (session.imageOf !== undefined) await measureView(parts, session, await session.imageOf(full.id));
}

async function measureRestores(
  parts: OneVolumeParts,
  session: Session,
  id: string,
  target: string,
): Promise<void> {
  const { contestant, images, results, say } = parts;
  for (const row of ['restoreNew', 'restoreOver'] as const) {
    if (row === 'restoreOver') await run(['cp', images.scattered, target]);
    const sample = await session.restore(id, target, row === 'restoreOver');
    if (sample === undefined) return;
    await run(['cmp', images.base, target]);
    await rm(target);
    results.add(row, contestant.name, sample);
    say(`${row} ${sample.seconds.toFixed(2)} s`);
  }
}

/** The same reads from the view and from the image itself, each cold at first and then again. */
async function measureView(parts: OneVolumeParts, session: Session, image: string): Promise<void> {
  const { contestant, images, results, readsProgram, reads, seed } = parts;
  for (const [what, path] of [
    [contestant.name, image],
    ['plain-file', images.base],
  ] as const) {
    let printed = '';
    await measure(reads * 8192, session.server === undefined ? [] : [session.server], async (started) => {
      printed = await run([readsProgram, path, String(reads), String(seed)], { started });
    });
    const [first, repeated] = printed
      .trim()
      .split('\n')
      .map((line) => toReadSample(line, reads));
    if (first !== undefined) results.addRead('first', what, first);
    if (repeated !== undefined) results.addRead('repeated', what, repeated);
  }
}

function toReadSample(line: string, count: number): ReadSample {
  const [seconds = 0, medianUs = 0, p99Us = 0, slowestUs = 0] = line.split(' ').map(Number);
  return { count, seconds, medianUs, p99Us, slowestUs };
}
