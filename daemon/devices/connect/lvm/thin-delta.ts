/** What thin_delta says of two thin volumes of one pool, as ranges of bytes that may differ. Pure.
 *  Promises: ranges ascend, do not touch each other, and end within the volume, in bounded memory; what is not wholly understood
 *  is no answer: TOOL_FAILED. Source: thin_delta(8). */

import { Fault } from '../../../base/faults.ts';
import type { ChangedRange } from '../../changed-extents.ts';

export interface DeltaOrder {
  /** Ids of the two in their pool, the earlier one first. */
  readonly left: number;
  readonly right: number;
  /** Of the pool, as device-mapper says. */
  readonly blockBytes: number;
  /** The pool has reached it, or what was read is of another time. */
  readonly transactionMin: number;
  /** Of the later one. */
  readonly sizeBytes: number;
}

const sectorBytes = 512;
const refuse = (why: string): Fault =>
  new Fault('TOOL_FAILED', `Cannot use what "thin_delta" prints: ${why}`);

type Attributes = ReadonlyMap<string, string>;

/** `<different begin="0" length="1"/>`, and the like. */
function elementOf(line: string): { readonly name: string; readonly attributes: Attributes } {
  const [, name, words = ''] = /^<(\/?[a-z_]+)((?: [a-z_0-9]+="[^"<>]*")*) ?\/?>$/.exec(line) ?? [];
  if (name === undefined) throw refuse('a line is no element');
  return {
    name,
    attributes: new Map(
      Array.from(words.matchAll(/ ([a-z_0-9]+)="([^"]*)"/g), ([, key = '', value = '']) => [key, value]),
    ),
  };
}

function numberIn(attributes: Attributes, key: string): number {
  const text = attributes.get(key) ?? '';
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw refuse(`"${key}" is no number`);
  return value;
}

function checkHead(attributes: Attributes, { blockBytes, transactionMin }: DeltaOrder): void {
  if (numberIn(attributes, 'data_block_size') * sectorBytes !== blockBytes)
    throw refuse('the blocks of the pool have another size');
  if (numberIn(attributes, 'transaction') < transactionMin)
    throw refuse('it is of an earlier time of the pool');
}

function checkDiff(attributes: Attributes, { left, right }: DeltaOrder): void {
  if (numberIn(attributes, 'left') !== left || numberIn(attributes, 'right') !== right)
    throw refuse('it is of other volumes');
}

/** Elements in the order in which they come, each with what may follow it. */
const runs = ['same', 'different', 'left_only', 'right_only'];
const following: Readonly<Record<string, readonly string[]>> = {
  begin: ['superblock'],
  superblock: ['diff'],
  diff: ['run', '/diff'],
  run: ['run', '/diff'],
  '/diff': ['/superblock'],
  '/superblock': [],
};

/** Runs of blocks that differ, or that only one of the two has. */
async function* differing(lines: AsyncIterable<string>, order: DeltaOrder): AsyncIterable<ChangedRange> {
  let place = 'begin';
  let end = 0;
  for await (const line of lines) {
    if (line.trim() === '') continue;
    const { name, attributes } = elementOf(line.trim());
    const kind = runs.includes(name) ? 'run' : name;
    if (following[place]?.includes(kind) !== true) throw refuse(`"${name}" is out of place`);
    place = kind;
    if (kind === 'superblock') checkHead(attributes, order);
    if (kind === 'diff') checkDiff(attributes, order);
    if (kind !== 'run') continue;
    const [begin, length] = [numberIn(attributes, 'begin'), numberIn(attributes, 'length')];
    if (begin < end || length < 1) throw refuse('its ranges do not follow one another');
    end = begin + length;
    const { blockBytes, sizeBytes } = order;
    if (!Number.isSafeInteger(end * blockBytes)) throw refuse('a range is beyond all volumes');
    const from = begin * blockBytes;
    if (name === 'same' || from >= sizeBytes) continue;
    yield { offset: from, length: Math.min(end * blockBytes, sizeBytes) - from };
  }
  if (place !== '/superblock') throw refuse('it ends half-way');
}

export async function* changedRanges(
  lines: AsyncIterable<string>,
  order: DeltaOrder,
): AsyncIterable<ChangedRange> {
  let open: { offset: number; length: number } | undefined;
  for await (const { offset, length } of differing(lines, order)) {
    if (open !== undefined && open.offset + open.length === offset) open.length += length;
    else {
      if (open !== undefined) yield open;
      open = { offset, length };
    }
  }
  if (open !== undefined) yield open;
}
