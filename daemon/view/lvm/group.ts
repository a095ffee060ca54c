/** The logical volumes of a group, and where their bytes are. Pure. Source: LVM2, lib/format_text/import_vsn1.c.
 *  Promises: only what is linear or striped is told, everything else by its name and kind; every place is within its physical
 *  volume, or missing. Knows nothing of images: physical volumes are ranges. */

import type { WindowSegment } from '../../../native/native.ts';
import { lvmSegmentsMax, lvmStripesMax, lvmVolumesMax, volumeBytesMax } from '../../base/limits.ts';
import { countAt, listAt, type Section, sectionAt, textAt } from './text.ts';

const sectorBytes = 512;
/** What LVM allows as a name, and no folder of its own. */
const nameShape = /^(?!\.\.?$)[\w+.-]{1,127}$/;

export interface Group {
  readonly id: string;
  readonly name: string;
  readonly number: number;
  readonly section: Section;
}

/** Where a physical volume is in the image, by its id without dashes. */
export type Places = ReadonlyMap<string, { readonly offset: number; readonly sizeBytes: number }>;

export interface LogicalVolume {
  readonly name: string;
  readonly sizeBytes: number;
  readonly segments: readonly WindowSegment[];
}

export interface GroupContents {
  readonly volumes: readonly LogicalVolume[];
  /** What is not shown, and why: a sentence each. */
  readonly notes: readonly string[];
}

/** The group that a text describes; undefined where it describes none. */
export function groupIn(text: Section): Group | undefined {
  for (const [name, section] of text) {
    if (!(section instanceof Map) || !nameShape.test(name)) continue;
    const id = textAt(section, 'id')?.replaceAll('-', '');
    const number = countAt(section, 'seqno');
    if (id !== undefined && number !== undefined) return { id, name, number, section };
  }
  return undefined;
}

export function contentsOf({ section }: Group, places: Places): GroupContents {
  const extentBytes = (countAt(section, 'extent_size') ?? 0) * sectorBytes;
  const physical = physicalVolumes(section, places);
  const logical = [...sectionAt(section, 'logical_volumes')].filter(
    (entry): entry is [string, Section] => entry[1] instanceof Map && nameShape.test(entry[0]),
  );
  const changes = new Set(logical.flatMap(([, volume]) => [...snapshotStores(volume)]));
  const volumes: LogicalVolume[] = [];
  const notes: string[] = [];
  let segmentsLeft = lvmSegmentsMax;
  for (const [name, volume] of logical) {
    if (!listAt(volume, 'status').includes('VISIBLE')) continue;
    const kinds = kindsOf(volume).filter((kind) => kind !== 'striped' && kind !== 'linear');
    if (changes.has(name)) kinds.push('snapshot');
    if (kinds.length > 0) {
      notes.push(`"${name}" is not shown: its kind is ${[...new Set(kinds)].join(', ')}.`);
      continue;
    }
    const segments = segmentsOf(volume, physical, extentBytes, segmentsLeft);
    const last = segments?.at(-1);
    if (segments === undefined || last === undefined || volumes.length === lvmVolumesMax) {
      notes.push(`"${name}" is not shown: its description can't be used.`);
      continue;
    }
    if (segments.every(({ places: of }) => of.every((place) => place < 0))) {
      notes.push(`"${name}" is not shown: it lies on other disks.`);
      continue;
    }
    if (segments.some(({ places: of }) => of.some((place) => place < 0)))
      notes.push(`Parts of "${name}" lie on other disks and can't be read.`);
    segmentsLeft -= segments.length;
    volumes.push({ name, sizeBytes: last.offset + last.length, segments });
  }
  return { volumes, notes };
}

interface Physical {
  /** Of its first extent in the image. */
  readonly offset: number;
  readonly endOffset: number;
}

function physicalVolumes(section: Section, places: Places): Map<string, Physical> {
  const physical = new Map<string, Physical>();
  for (const [name, volume] of sectionAt(section, 'physical_volumes')) {
    if (!(volume instanceof Map)) continue;
    const place = places.get(textAt(volume, 'id')?.replaceAll('-', '') ?? '');
    const start = countAt(volume, 'pe_start');
    if (place === undefined || start === undefined) continue;
    physical.set(name, {
      offset: place.offset + start * sectorBytes,
      endOffset: place.offset + place.sizeBytes,
    });
  }
  return physical;
}

const segmentSections = (volume: Section): Section[] =>
  [...volume].flatMap(([name, value]) => (/^segment\d+$/.test(name) && value instanceof Map ? [value] : []));

const kindsOf = (volume: Section): string[] =>
  segmentSections(volume).map((segment) => textAt(segment, 'type')?.split('+')[0] ?? 'unknown');

/** The volumes that hold the changes of snapshots: by themselves they are nobody's data. */
const snapshotStores = (volume: Section): string[] =>
  segmentSections(volume).flatMap((segment) => textAt(segment, 'cow_store') ?? []);

/** One behind the other; undefined where they are not, or too many. */
function segmentsOf(
  volume: Section,
  physical: ReadonlyMap<string, Physical>,
  extentBytes: number,
  most: number,
): WindowSegment[] | undefined {
  const sections = segmentSections(volume);
  if (sections.length > most || extentBytes === 0) return undefined;
  const byStart = (segment: Section) => countAt(segment, 'start_extent') ?? 0;
  const segments: WindowSegment[] = [];
  let end = 0;
  for (const section of sections.sort((a, b) => byStart(a) - byStart(b))) {
    const segment = segmentOf(section, physical, extentBytes);
    if (segment?.offset !== end) return undefined;
    segments.push(segment);
    end += segment.length;
  }
  return end <= volumeBytesMax ? segments : undefined;
}

function segmentOf(
  section: Section,
  physical: ReadonlyMap<string, Physical>,
  extentBytes: number,
): WindowSegment | undefined {
  const start = countAt(section, 'start_extent');
  const count = countAt(section, 'extent_count');
  const stripes = listAt(section, 'stripes');
  const stripeCount = stripes.length / 2;
  if (start === undefined || count === undefined || count === 0) return undefined;
  if (!Number.isInteger(stripeCount) || stripeCount < 1 || stripeCount > lvmStripesMax) return undefined;
  const length = count * extentBytes;
  const stripeBytes = stripeCount === 1 ? 0 : (countAt(section, 'stripe_size') ?? 0) * sectorBytes;
  if (stripeCount > 1 && (stripeBytes === 0 || length % (stripeCount * stripeBytes) !== 0)) return undefined;
  const places = Array.from({ length: stripeCount }, (_, at) => {
    const extent = stripes[at * 2 + 1];
    const on = physical.get(String(stripes[at * 2]));
    if (on === undefined || typeof extent !== 'number' || extent < 0) return -1;
    const offset = on.offset + extent * extentBytes;
    return offset + length / stripeCount <= on.endOffset ? offset : -1;
  });
  return { offset: start * extentBytes, length, stripeBytes, places };
}
