/** Puts a value on stdout in the format that was asked for. Promises: stdout holds the value and nothing else; notes go
 *  to stderr; exact numbers in every format but the table. Knows nothing of commands. */

import { chooseColumns, chooseFields, type Titles } from './columns.ts';
import { csvText } from './csv.ts';
import { jsonText } from './json.ts';
import { printable } from './text.ts';
import { fieldValues, listValues } from './value.ts';

export const formats = ['table', 'json', 'yaml', 'csv', 'value'] as const;
export type Format = (typeof formats)[number];

export interface ListShape {
  readonly titles: Titles;
  /** Columns of the table, of csv and of value. JSON and YAML hold whole values. */
  readonly initial: readonly string[];
  /** What JSON and YAML hold in place of the rows, where the answer is more than its rows. */
  readonly whole?: unknown;
}

export interface Output {
  list(rows: readonly object[], shape: ListShape): Promise<void>;
  one(value: object): Promise<void>;
  /** A line for the operator, on stderr. */
  note(text: string): void;
}

export interface OutputParts {
  readonly format: Format;
  readonly columns: readonly string[];
  readonly writeOut: (text: string) => void;
  readonly writeNote: (text: string) => void;
}

type Row = Readonly<Record<string, unknown>>;

export function createOutput(parts: OutputParts): Output {
  return {
    list: async (values, shape) => {
      const rows = values as readonly Row[];
      parts.writeOut(await listText(parts, rows, shape));
    },
    one: async (value) => {
      parts.writeOut(await oneText(parts.format, chooseFields(parts.columns, value as Row)));
    },
    note: (text) => parts.writeNote(`${printable(text)}\n`),
  };
}

function listText(parts: OutputParts, rows: readonly Row[], shape: ListShape): Promise<string> {
  const keys = chooseColumns(parts.columns, shape.initial, shape.titles, rows);
  const narrowed = rows.map((row) => Object.fromEntries(keys.map((key) => [key, row[key] ?? null])));
  const whole = parts.columns.length > 0 ? narrowed : (shape.whole ?? rows);
  const texts: Record<Format, () => string | Promise<string>> = {
    table: async () => (await import('./table.ts')).listTable(keys, shape.titles, rows),
    csv: () => csvText(keys, rows),
    value: () => listValues(keys, rows),
    json: () => jsonText(whole),
    yaml: async () => (await import('./yaml.ts')).yamlText(whole),
  };
  return Promise.resolve(texts[parts.format]());
}

/** The YAML and table libraries are loaded only by who uses them: most calls start faster without. */
function oneText(format: Format, value: Record<string, unknown>): Promise<string> {
  const texts: Record<Format, () => string | Promise<string>> = {
    table: async () => (await import('./table.ts')).fieldTable(value),
    csv: () => csvText(Object.keys(value), [value]),
    value: () => fieldValues(value),
    json: () => jsonText(value),
    yaml: async () => (await import('./yaml.ts')).yamlText(value),
  };
  return Promise.resolve(texts[format]());
}
