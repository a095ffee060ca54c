/** CSV by RFC 4180, with a heading of keys and one line a value. Pure. */

import { exactText } from './text.ts';

const field = (text: string): string => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

export function csvText(keys: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const lines = [keys.map(field), ...rows.map((row) => keys.map((key) => field(exactText(row[key]))))];
  return lines.map((line) => `${line.join(',')}\n`).join('');
}
