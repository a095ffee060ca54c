/** The logical volumes inside an image: of all groups whose physical volumes are there.
 *  Promises: the image is hostile: bytes, groups and volumes are bounded; what is damaged is told in a note and hides nothing else; what
 *  could not be read is thrown. Nothing is ever activated. */

import type { WindowSegment } from '../../../native/native.ts';
import { Fault } from '../../base/faults.ts';
import { lvmGroupsMax } from '../../base/limits.ts';
import type { ReadBytes } from '../tables/range.ts';
import { contentsOf, type Group, groupIn } from './group.ts';
import { type PhysicalVolume, readPhysicalVolume } from './label.ts';
import { parseText } from './text.ts';

/** A part of the image that may be a physical volume. */
export interface Part {
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface FoundVolume {
  /** "GROUP/VOLUME" */
  readonly name: string;
  readonly sizeBytes: number;
  readonly segments: readonly WindowSegment[];
}

export interface LogicalVolumes {
  readonly volumes: readonly FoundVolume[];
  readonly notes: readonly string[];
}

export async function findLogicalVolumes(read: ReadBytes, parts: readonly Part[]): Promise<LogicalVolumes> {
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
  const volumes: FoundVolume[] = [];
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
