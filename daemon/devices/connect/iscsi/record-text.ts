/** The text of a record of open-iscsi: lines of "name = value". Pure.
 *  Promises: only the settings that are given change; whoever wrote the record by this is told by a comment, which open-iscsi
 *  leaves out of account. Source: open-iscsi 2.1.8, usr/idbm.c. */

const marker = '# made by basalt';
const end = '# END RECORD';

/** A value of null takes the setting out, so that open-iscsi's own default holds. */
export type RecordSettings = ReadonlyMap<string, string | null>;

const nameOf = (line: string): string => /^\s*([^#\s][^=]*?)\s*=/.exec(line)?.[1] ?? '';

export const isOurs = (text: string): boolean => text.split('\n').includes(marker);

export function withSettings(text: string, settings: RecordSettings): string {
  const kept = text
    .split('\n')
    .filter((line) => line !== marker && line !== end && line !== '' && !settings.has(nameOf(line)));
  const added = [...settings].flatMap(([name, value]) => (value === null ? [] : [`${name} = ${value}`]));
  const [begin = '# BEGIN RECORD', ...rest] = kept;
  return `${[begin, marker, ...rest, ...added, end].join('\n')}\n`;
}

export function settingOf(text: string, name: string): string | undefined {
  const line = text.split('\n').find((one) => nameOf(one) === name);
  return line?.slice(line.indexOf('=') + 1).trim();
}
