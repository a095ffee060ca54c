/** The logical volumes inside an image: of all groups whose physical volumes are there.
 *  Promises: the image is hostile: bytes, groups and volumes are bounded; what is damaged is told in a note and hides nothing else; what
 *  could not be read is thrown. Nothing is ever activated. */

import { Fault } from '../../base/faults.ts';
import { lvmGroupsMax } from '../../base/limits.ts';
import type { ReadBytes } from '../tables/range.ts';
import { contentsOf, type Group, type GroupContents, groupIn, type LogicalVolume } from './group.ts';
import { type PhysicalVolume, readPhysicalVolume } from './label.ts';
import { parseText } from './text.ts';

/** A part of the image that may be a physical volume. */
export interface Part {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Volumes are called "GROUP/VOLUME". */
export async function findLogicalVolumes(read: ReadBytes, parts: readonly Part[]): Promise<GroupContents> {
  const places = new Map<string, Part>();
  const groups = new Map<string, Group>();
  const notes: string[] = [];
  for (const part of parts) {
    const readPart: ReadBytes = (offset, length) => read(part.offset + offset, length);
    const found = await readPhysicalVolume(readPart, part.sizeBytes);
    if (found === undefined) continue;
    places.set(found.id, part);
    const group = groupOf(found, notes);
    // Each physical volume may have a text of the group: the newest one counts.
    if (group === undefined || (groups.get(group.id)?.number ?? -1) >= group.number) continue;
    if (groups.has(group.id) || groups.size < lvmGroupsMax) groups.set(group.id, group);
  }
  const volumes: LogicalVolume[] = [];
  const names = [...groups.values()].map(({ name }) => name);
  for (const group of groups.values()) {
    const isOnly = names.indexOf(group.name) === names.lastIndexOf(group.name);
    const folder = isOnly ? group.name : `${group.name} (${group.id.replaceAll(/\W/g, '_').slice(0, 8)})`;
    const contents = contentsOf(group, places);
    notes.push(...contents.notes.map((note) => `Group "${group.name}": ${note}`));
    volumes.push(...contents.volumes.map((volume) => ({ ...volume, name: `${folder}/${volume.name}` })));
  }
  return { volumes, notes };
}

function groupOf({ text }: PhysicalVolume, notes: string[]): Group | undefined {
  if (text === undefined) return undefined;
  try {
    return groupIn(parseText(text));
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    notes.push(`${thrown.message}.`);
    return undefined;
  }
}
