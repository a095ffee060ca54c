/** A value as text. Promises: nothing that a daemon sent (a name, a message) can move the cursor, colour or reorder what
 *  a terminal shows: control characters and the marks that turn the direction of text are written out. Pure. */

import { bytesText, durationText, rateText } from './units.ts';

const dangerous = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
const shortNames: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

const writtenOut = (character: string): string => {
  const code = character.charCodeAt(0);
  if (code > 0xff) return `\\u${code.toString(16).padStart(4, '0')}`;
  return shortNames[character] ?? `\\x${code.toString(16).padStart(2, '0')}`;
};

export const printable = (text: string): string => text.replaceAll(dangerous, writtenOut);

/** For JSON text, where a line end between values is fine and the escape has four digits. */
export const printableJson = (json: string): string =>
  json.replaceAll(dangerous, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

export const hasDangerous = (text: string): boolean => text.search(dangerous) >= 0;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Exact, one line: for programs. What is nested is JSON. */
export function exactText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? printable(value) : printableJson(JSON.stringify(value));
}

type InWords = (entry: Readonly<Record<string, unknown>>) => string;
/** What is nested and says more to people as a phrase, by its key. */
const phrases: Readonly<Record<string, InWords>> = {
  users: ({ kind, id }) => (kind === 'operator' ? 'the operator' : `${exactText(kind)} ${exactText(id)}`),
  fault: ({ code, message }) => `${exactText(code)}: ${exactText(message)}`,
};

/** For people. The unit of a number is in its key: `size_bytes`, `bytes_per_second`, `uptime_seconds`. */
export function humanText(key: string, value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'number') return numberText(key, value);
  if (Array.isArray(value)) {
    return value.length === 0 ? '-' : value.map((entry) => entryText(key, entry)).join('\n');
  }
  return entryText(key, value);
}

/** A limit of 0 is none; a rate of 0 is a rate. */
const isLimit = (key: string): boolean => /^(read|write|limit)_bytes_per_second$/.test(key);

function numberText(key: string, value: number): string {
  const last = key.slice(key.lastIndexOf('.') + 1);
  if (last.endsWith('bytes_per_second')) return value === 0 && isLimit(last) ? 'none' : rateText(value);
  if (last === 'bytes' || last.endsWith('_bytes') || last.startsWith('bytes_')) return bytesText(value);
  if (last.endsWith('_seconds') || last === 'seconds_left') return durationText(value);
  return String(value);
}

function entryText(within: string, entry: unknown): string {
  if (!isRecord(entry)) return exactText(entry);
  const phrase = phrases[within];
  if (phrase !== undefined) return phrase(entry);
  const parts = Object.entries(entry).map(([key, value]) => {
    const text = typeof value === 'number' ? numberText(key, value) : exactText(value);
    return `${printable(key)}=${text}`;
  });
  return parts.length === 0 ? '-' : parts.join(', ');
}
