/** Lists of changed extents, as programs print them: JSON of `rbd diff --format json`, or a line "OFFSET LENGTH" each.
 *  Promises: the file is read with the rights of who runs the client, never by the daemon; more extents than one request carries are
 *  merged where they lie closest, so that the list still names all that changed. What lies where in the volume is the daemon's to check. */

import { createReadStream } from 'node:fs';
import { Fault } from '../daemon/protocol/faults.ts';
import { changedExtentsMax } from '../daemon/protocol/limits.ts';

export type Extent = [offset: number, length: number];

/** A list of some million extents. */
const textBytesMax = 256 * 2 ** 20;

export async function readExtents(file: string): Promise<Extent[]> {
  const what = file === '-' ? 'standard input' : file;
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    const input = file === '-' ? process.stdin : createReadStream(file);
    for await (const piece of input as AsyncIterable<Buffer>) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > textBytesMax) break;
    }
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new Fault('USAGE', `Cannot read the changed extents from "${what}": ${why}`, { cause: thrown });
  }
  if (bytes > textBytesMax) throw unusable(what, `it has more than ${textBytesMax} bytes`);
  return mergeClosest(parseExtents(Buffer.concat(pieces).toString('utf8'), what), changedExtentsMax);
}

export function parseExtents(text: string, what: string): Extent[] {
  const extents = text.trimStart().startsWith('[') ? parseJson(text, what) : parseLines(text, what);
  let end = 0;
  extents.forEach(([offset, length], number) => {
    if (offset < end) throw unusable(what, `extent ${number + 1} begins before byte ${end}`);
    end = offset + length;
  });
  return extents;
}

const unusable = (what: string, why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use the changed extents in "${what}": ${why}`);

function parseJson(text: string, what: string): Extent[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (thrown) {
    throw unusable(what, thrown instanceof Error ? thrown.message : 'it is not JSON');
  }
  if (!Array.isArray(list)) throw unusable(what, 'it is not a list');
  return list.map((row: unknown, number) => {
    const { offset, length } = (typeof row === 'object' && row !== null ? row : {}) as Record<
      string,
      unknown
    >;
    return extentOf(offset, length, what, `item ${number + 1}`);
  });
}

/** Words behind the second one, and the title line of rbd, are not looked at. */
function parseLines(text: string, what: string): Extent[] {
  const extents: Extent[] = [];
  text.split('\n').forEach((line, number) => {
    const [offset = '', length = ''] = line.trim().split(/\s+/);
    if (offset === '' || offset.startsWith('#') || (number === 0 && offset === 'Offset')) return;
    const numberOf = (word: string) => (/^\d{1,16}$/.test(word) ? Number(word) : undefined);
    extents.push(extentOf(numberOf(offset), numberOf(length), what, `line ${number + 1}`));
  });
  return extents;
}

function extentOf(offset: unknown, length: unknown, what: string, where: string): Extent {
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
  if (isCount(offset) && isCount(length) && length > 0) return [offset, length];
  throw unusable(what, `${where} has no offset and length in bytes`);
}

/** At most `max` extents that cover all of `extents`: the smallest gaps go. */
export function mergeClosest(extents: readonly Extent[], max: number): Extent[] {
  const gaps = Float64Array.from(extents, ([offset], number) => {
    const before = extents[number - 1];
    return before === undefined ? Number.POSITIVE_INFINITY : offset - before[0] - before[1];
  });
  const surplus = Math.max(0, extents.length - max);
  const closes = Float64Array.from(gaps).sort()[surplus - 1] ?? 0;
  const merged: Extent[] = [];
  extents.forEach(([offset, length], number) => {
    const last = merged.at(-1);
    if (last === undefined || (gaps[number] ?? 0) > closes) merged.push([offset, length]);
    else last[1] = offset + length - last[0];
  });
  return merged;
}
