/** Small objects of the repository: a line of canonical JSON, and a line with its digest. Source: FORMAT.md, "Sealed JSON".
 *  Promises: the same value gives the same bytes; one flipped bit anywhere is noticed. Pure. */

import type { HashFunction } from './pack.ts';

/** JSON with sorted keys and no white space; `undefined` members are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}

export function sealJson(value: unknown, hash: HashFunction): Buffer {
  const line = Buffer.from(canonicalJson(value));
  return Buffer.concat([line, Buffer.from(`\n${hash(line).toString('hex')}\n`)]);
}

/** The value, or the clause that is broken as text. */
export function openSealedJson(bytes: Buffer, hash: HashFunction): { value: unknown } | string {
  const end = bytes.indexOf(0x0a);
  if (end < 0) return 'it is cut off';
  const line = bytes.subarray(0, end);
  if (bytes.subarray(end).toString('latin1') !== `\n${hash(line).toString('hex')}\n`)
    return 'its digest does not match';
  try {
    return { value: JSON.parse(line.toString('utf8')) as unknown };
  } catch {
    return 'it is not JSON';
  }
}
