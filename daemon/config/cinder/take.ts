/** The value of a setting that an option of Cinder spells. Pure.
 *  Promises: what is given fits the setting; where it is not exactly what the option says, a note tells the difference. */

import { blockSizes, type SettingName, type SettingRow, settings } from '../settings.ts';
import { osloBoolean } from './oslo-file.ts';

export type Taken =
  | { readonly value: string | number | boolean | null; readonly note?: string }
  /** Why the option can't be taken. */
  | { readonly refused: string };

/** Largest values of settings that are bounded here and not in Cinder. */
const operationsMax = 1000;
const listLimitMax = 1000;

/** Options whose values are spelt in another way here. */
const adaptations: Readonly<Record<string, (text: string) => { text: unknown; note?: string }>> = {
  debug: (text) => ({ text: osloBoolean(text) === true ? 'debug' : 'info' }),
  state_path: (text) => ({ text, note: 'a folder that is not shared with Cinder is tidier' }),
  backup_max_operations: (text) =>
    Number(text) > operationsMax
      ? { text: operationsMax, note: `${operationsMax} is the most here` }
      : { text },
  osapi_max_limit: (text) =>
    Number(text) > listLimitMax ? { text: listLimitMax, note: `${listLimitMax} is the most here` } : { text },
  backup_compression_algorithm: (text) => {
    if (/^(none|off|no)$/i.test(text)) return { text: 0 };
    if (/^zstd$/i.test(text)) return { text: 1 };
    const note = `blocks of our own format are compressed with zstd, not ${text}`;
    return /^(zlib|gzip|bz2|bzip2)$/i.test(text) ? { text: 1, note } : { text };
  },
  backup_sha_block_size_bytes: (text) => {
    const size = blockSizes.find((one) => String(one) === text);
    return size === undefined ? { text } : { text: size };
  },
};

export function takeOption(option: string, setting: SettingName, text: string): Taken {
  const adapted = adaptations[option]?.(text) ?? { text };
  const row: SettingRow<unknown> = settings[setting];
  for (const candidate of spellings(adapted.text)) {
    const value = row.shape.read(candidate);
    if (value === undefined) continue;
    const { note } = adapted;
    return { value: row.shape.show(value), ...(note === undefined ? {} : { note }) };
  }
  return { refused: `its value is not ${row.shape.takes}` };
}

/** oslo.config has only text; a setting may be a number or a truth value. */
function spellings(value: unknown): unknown[] {
  if (typeof value !== 'string') return [value];
  const number = /^-?\d{1,15}$/.test(value) ? [Number(value)] : [];
  const boolean = osloBoolean(value);
  return [value, ...number, ...(boolean === undefined ? [] : [boolean])];
}
