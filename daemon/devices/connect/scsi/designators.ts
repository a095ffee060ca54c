/** Reads what a SCSI device says of itself in its vital product data: the names of the volume (page 0x83) and its serial number
 *  (page 0x80). Pure; the bytes are hostile.
 *  Promises: only names of the volume itself are taken, none of the port or the target it was reached on; a name that is cut off, or
 *  says nothing (zeros, blanks), is left out. Source: SPC-4 7.8.6 (device identification), 7.8.15 (unit serial number), SAM-5 for
 *  the forms of names. */

import { hex } from '../../../base/bytes.ts';

export const identificationPage = 0x83;
export const serialPage = 0x80;

/** Names kept of one device: arrays give up to a handful. */
const namesMax = 32;
const headerBytes = 4;
/** Of a T10 name: the maker, alike for all that it made; the name of the volume comes behind. */
const vendorBytes = 8;

/** The body of a page that is what it says to be; empty where it isn't. */
function bodyOf(page: Uint8Array, code: number): Uint8Array {
  if (page.length < headerBytes || page[1] !== code) return new Uint8Array();
  const length = ((page[2] ?? 0) << 8) | (page[3] ?? 0);
  return page.subarray(headerBytes, headerBytes + length);
}

/** ASCII of a field that is padded with blanks or zeros; other bytes as "\xNN", so that two names never become one. */
function textOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text.replace(/(\\x00|\s)+$/, '').trimStart();
}

const says = (bytes: Uint8Array): boolean => bytes.some((byte) => byte !== 0 && byte !== 0x20);

function naaName(bytes: Uint8Array): string | undefined {
  const kind = (bytes[0] ?? 0) >> 4;
  const wanted = kind === 6 ? 16 : kind === 2 || kind === 3 || kind === 5 ? 8 : 0;
  return wanted === 0 || bytes.length !== wanted ? undefined : `naa.${hex(bytes)}`;
}

/** "naa.6001…", "eui.0025…" or "iqn.…,L,0x…", as UTF-8 with a zero byte behind. */
function scsiName(bytes: Uint8Array): string | undefined {
  const text = textOf(bytes);
  const [, kind, digits] = /^(naa|eui)\.([0-9A-Fa-f]+)$/.exec(text) ?? [];
  if (kind !== undefined && digits !== undefined) return `${kind}.${digits.toLowerCase()}`;
  return text === '' ? undefined : `name.${text}`;
}

function nameOf(kind: number, bytes: Uint8Array): string | undefined {
  if (!says(bytes)) return undefined;
  switch (kind) {
    case 1:
      return says(bytes.subarray(vendorBytes)) ? `t10.${textOf(bytes)}` : undefined;
    case 2:
      return [8, 12, 16].includes(bytes.length) ? `eui.${hex(bytes)}` : undefined;
    case 3:
      return naaName(bytes);
    case 8:
      return scsiName(bytes);
    default:
      // 0 lasts only by the maker's word, 4 to 7 name ports and groups; 10 is a UUID, as two bytes and sixteen.
      return kind === 10 && bytes.length === 18 ? `uuid.${hex(bytes.subarray(2))}` : undefined;
  }
}

/** The names of the volume, sorted, each once. */
export function readNames(page: Uint8Array): string[] {
  const body = bodyOf(page, identificationPage);
  const names = new Set<string>();
  for (let at = 0; at + headerBytes <= body.length && names.size < namesMax; ) {
    const association = ((body[at + 1] ?? 0) >> 4) & 3;
    const kind = (body[at + 1] ?? 0) & 15;
    const end = at + headerBytes + (body[at + 3] ?? 0);
    if (end > body.length) break;
    const name = association === 0 ? nameOf(kind, body.subarray(at + headerBytes, end)) : undefined;
    if (name !== undefined) names.add(name);
    at = end;
  }
  return [...names].sort();
}

/** Null where it says nothing. */
export function readSerial(page: Uint8Array): string | null {
  const body = bodyOf(page, serialPage);
  return says(body) ? textOf(body) : null;
}
