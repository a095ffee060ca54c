/** Has a thin pool hold a copy of its metadata still while somebody reads it. A pool has room for one.
 *
 *    free? ─▶ note ─▶ reserve ─▶ note which ─▶ use ─▶ release ─▶ note removed
 *
 *  Promises: what is reserved is released, also by the next daemon where this one is killed, and after a restart of the host; a copy that
 *  somebody else holds is left alone. The note is a file, durable before the pool is asked.
 *  Source: Documentation/admin-guide/device-mapper/thin-provisioning.rst (kernel), "Reserve metadata snap". */

import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errnoOf, Fault } from '../../../base/faults.ts';
import { removeFile, writeFileAtomic } from '../../../base/files.ts';
import { KeyedTurns } from '../../../base/turns.ts';
import type { Tools } from '../tools.ts';
import type { VolumeIds } from './names.ts';
import { poolMapId, poolState } from './pool.ts';
import { isUnderWay } from './under-way.ts';

export interface MetadataParts {
  readonly tools: Tools;
  /** Where notes are kept. */
  readonly notesFolder: string;
}

/** `block`: of the copy; null: the pool was about to be asked. */
const noteShape = z.object({ block: z.int().min(0).nullable() });
type Note = z.infer<typeof noteShape>;

const noteName = /^(LVM-[A-Za-z0-9]{64}-tpool)\.json$/;
const messageTimeoutMs = 30_000;
const reserve = 'reserve_metadata_snap';
const release = 'release_metadata_snap';

/** One at a time of a pool, in this process; between processes the pool itself sees to it. */
const turns = new KeyedTurns();

const noteOf = ({ notesFolder }: MetadataParts, mapId: string): string => join(notesFolder, `${mapId}.json`);

/** STORAGE_FAILED */
async function writeNote(parts: MetadataParts, mapId: string, note: Note): Promise<void> {
  const path = noteOf(parts, mapId);
  try {
    await mkdir(parts.notesFolder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, `${JSON.stringify(note)}\n`);
  } catch (thrown) {
    const why = errnoOf(thrown) ?? String(thrown);
    throw new Fault('STORAGE_FAILED', `Cannot write "${path}": ${why}`, { cause: thrown });
  }
}

/** Runs `use` while the pool holds a copy of its metadata still. Or the clause that says why there is none. `signal`: ends the waiting
 *  for others who read the same pool. */
export function withMetadataSnapshot<T>(
  parts: MetadataParts,
  pool: VolumeIds,
  use: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T | string> {
  const mapId = poolMapId(pool);
  const alone = async (): Promise<T | string> => {
    await releaseOne(parts, mapId);
    const before = await poolState(parts.tools, mapId);
    if (before === undefined) return 'its thin pool does not answer';
    if (!before.writable) return 'its thin pool can not be changed';
    if (before.heldBlock !== null) return 'somebody else reads the metadata of its thin pool';
    try {
      return (await reserveIn(parts, mapId)) ?? (await use());
    } finally {
      await releaseOne(parts, mapId);
    }
  };
  return turns.run(mapId, alone, signal);
}

/** Or why it can't be. */
async function reserveIn(parts: MetadataParts, mapId: string): Promise<string | undefined> {
  const { tools } = parts;
  await writeNote(parts, mapId, { block: null });
  const ended = await message(tools, mapId, reserve);
  if (ended.status !== 0) {
    // Nothing is ours where the pool has said no; where it has said nothing, it may come to be.
    if (!ended.timedOut) await removeFile(noteOf(parts, mapId));
    return `its thin pool does not let its metadata be read: ${ended.complaint}`;
  }
  const block = (await poolState(tools, mapId))?.heldBlock ?? null;
  if (block === null) return 'its thin pool does not say where its metadata is held';
  await writeNote(parts, mapId, { block });
  return undefined;
}

const message = (tools: Tools, mapId: string, word: string) =>
  tools.run('dmsetup', ['message', '--uuid', mapId, '0', word], { timeoutMs: messageTimeoutMs });

/** Releases what a note tells of. True: there was something. A pool that is not active keeps both until it is. */
async function releaseOne(parts: MetadataParts, mapId: string): Promise<boolean> {
  const path = noteOf(parts, mapId);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  if (await isUnderWay((words) => words.includes(mapId) && words.includes(reserve)))
    throw notReleased(mapId, 'it has not answered yet');
  const state = await poolState(parts.tools, mapId);
  if (state === undefined) throw notReleased(mapId, 'the pool is not active');
  const noted = noteIn(text);
  const ours = state.heldBlock !== null && (noted.block === null || noted.block === state.heldBlock);
  if (ours) {
    const ended = await message(parts.tools, mapId, release);
    const left = (await poolState(parts.tools, mapId))?.heldBlock;
    if (left !== null) throw notReleased(mapId, ended.complaint);
  }
  await removeFile(path);
  return ours;
}

const notReleased = (mapId: string, why: string): Fault =>
  new Fault('DEVICE_FAILED', `Cannot release the metadata of thin pool "${mapId}": ${why}`);

/** One that can't be read was just to be written: the pool was about to be asked at most. */
function noteIn(text: string): Note {
  try {
    return noteShape.safeParse(JSON.parse(text)).data ?? { block: null };
  } catch {
    return { block: null };
  }
}

/** Releases what an earlier daemon has left reserved. Gives a sentence for each thing that it did. */
export async function releaseLeft(parts: MetadataParts): Promise<string[]> {
  const done: string[] = [];
  for (const name of await readdir(parts.notesFolder).catch(() => [])) {
    const [, mapId] = noteName.exec(name) ?? [];
    // While its turn is taken the note is of a comparison that is under way, and goes with it.
    if (mapId === undefined || turns.isTaken(mapId)) continue;
    // One whose pool is not there is asked for again later.
    const released = await turns.run(mapId, () => releaseOne(parts, mapId)).catch(() => false);
    if (released) done.push(`Released the metadata of thin pool "${mapId}", which was held for a comparison`);
  }
  return done;
}
