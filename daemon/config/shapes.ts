/** Shapes of settings: each reads a value as a TOML file or a flag gives it, and says in words what it takes. Pure.
 *  What it does not know: which settings there are. */

import { isAbsolute, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GiB, KiB, MiB, TiB } from '../base/bytes.ts';
import { type Grant, parseGrant, showGrant } from './grants.ts';

/** What a shape makes of a value: the value in force, or undefined where it is not one of its kind. */
export interface Shape<T> {
  /** Follows "must be". */
  readonly takes: string;
  read(value: unknown): T | undefined;
  /** The value in force as `config show` has it. */
  show(value: T): string | number | boolean | null;
}

const units: Readonly<Record<string, number>> = { '': 1, B: 1, KiB, MiB, GiB, TiB };

/** `268435456`, `"256MiB"`, `"1.5 GiB"` as bytes; undefined where it is no whole number of bytes. */
export function parseSize(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const match = /^(\d{1,16}(?:\.\d{1,6})?)\s*(|B|KiB|MiB|GiB|TiB)$/.exec(value.trim());
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (units[match[2] ?? ''] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes as they are written in a settings file. */
export function showSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const size = units[unit] ?? 1;
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

export const size = (min: number, max: number): Shape<number> => ({
  takes: `a size from ${showSize(min)} to ${showSize(max)}, for example "256MiB"`,
  read: (value) => {
    const bytes = parseSize(value);
    return bytes !== undefined && bytes >= min && bytes <= max ? bytes : undefined;
  },
  show: showSize,
});

export const integer = (min: number, max: number): Shape<number> => ({
  takes: `a whole number from ${min} to ${max}`,
  read: (value) => {
    const number = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value;
    return typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max
      ? number
      : undefined;
  },
  show: (value) => value,
});

export const boolean: Shape<boolean> = {
  takes: 'true or false',
  read: (value) =>
    value === true || value === 'true' ? true : value === false || value === 'false' ? false : undefined,
  show: (value) => value,
};

export const oneOf = <T extends string | number>(choices: readonly T[]): Shape<T> => ({
  takes: `one of ${choices.join(', ')}`,
  read: (value) => choices.find((choice) => choice === value || String(choice) === value),
  show: (value) => value,
});

const absolutePath = (value: unknown): string | undefined =>
  typeof value === 'string' && isAbsolute(value) && !value.includes('\0') && value.length <= 4096
    ? normalize(value).replace(/(?<=.)\/$/, '')
    : undefined;

export const path: Shape<string> = {
  takes: 'an absolute path',
  read: absolutePath,
  show: (value) => value,
};

export const pathOrNone: Shape<string | null> = {
  takes: 'an absolute path, or "none"',
  read: (value) => (value === 'none' ? null : absolutePath(value)),
  show: (value) => value ?? 'none',
};

/** A path becomes a `file://` URL, so that there is one spelling of it. */
export const url: Shape<string> = {
  takes: 'a URL (scheme://…) or an absolute path',
  read: (value) => {
    const file = absolutePath(value);
    if (file !== undefined) return pathToFileURL(file).href;
    if (typeof value !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\//.test(value) || !URL.canParse(value))
      return undefined;
    // A file URL with a host names no path of this machine.
    return value.startsWith('file:') && !/^file:\/\/\/./.test(value) ? undefined : value;
  },
  show: (value) => value,
};

/** A name of up to 255 characters in one line. */
export const word: Shape<string> = {
  takes: 'a name of 1 to 255 characters',
  read: (value) => (typeof value === 'string' && /^\P{Cc}{1,255}$/u.test(value) ? value : undefined),
  show: (value) => value,
};

/** Longest command line of a hook. */
const wordsMax = 64;

/** A program and its arguments, run without a shell. On the command line and in the environment there is only "none". */
export const commandOrNone: Shape<readonly string[] | null> = {
  takes: `a list of at most ${wordsMax} texts like ["/path/of/program", "argument"], or "none"`,
  read: (value) => {
    if (value === 'none') return null;
    if (!Array.isArray(value) || value.length === 0 || value.length > wordsMax) return undefined;
    const words = value.filter((word): word is string => typeof word === 'string' && !word.includes('\0'));
    const [program = ''] = words;
    return words.length === value.length && isAbsolute(program) ? words : undefined;
  },
  show: (value) => (value === null ? 'none' : JSON.stringify(value)),
};

export const groupName: Shape<string> = {
  takes: 'the name of a group',
  read: (value) =>
    typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/.test(value) ? value : undefined,
  show: (value) => value,
};

export const grants: Shape<readonly Grant[]> = {
  takes: 'a list like ["uid:1000=alpha,beta", "gid:1000=alpha"]',
  read: (value) => {
    if (!Array.isArray(value)) return undefined;
    const list = value.map((text) => (typeof text === 'string' ? parseGrant(text) : undefined));
    return list.includes(undefined) ? undefined : list.filter((grant) => grant !== undefined);
  },
  show: (value) => value.map(showGrant).join(' '),
};
