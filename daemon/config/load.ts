/** Settings in force: defaults, under a TOML file, under flags, each with where it comes from.
 *  Promises: reads one file and changes nothing; every mistake of a file is found in one go and names the setting.
 *  What it does not know: whether the folders and groups exist; that is `check.ts`. */

import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { errnoOf, Fault } from '../base/faults.ts';
import { nearest } from './nearest.ts';
import {
  isSettingName,
  type SettingName,
  type SettingRow,
  type Settings,
  settingNames,
  settings,
  settingsFileDefault,
} from './settings.ts';

export interface EffectiveSettings {
  readonly values: Settings;
  /** "default", "file PATH" or "flag --name". */
  readonly origins: Readonly<Record<SettingName, string>>;
}

export interface SettingsSources {
  /** Named by the operator: it must be there. Absent: the default file, if there is one. */
  readonly file?: string;
  /** Values of flags, by the name of the setting. */
  readonly flags?: { readonly [N in SettingName]?: string | undefined };
}

interface Given {
  readonly value: unknown;
  readonly origin: string;
}

const settingsFileBytesMax = 1024 * 1024;
/** Settings whose flag may be a path relative to where the command runs. */
const pathSettings: ReadonlySet<SettingName> = new Set(['state_dir', 'socket', 'repository', 'view_dir']);

/** The text of a settings file; undefined where a file that need not be there is not. Reads no more than a settings file may
 *  have, whatever is at the path. CONFIG_INVALID. */
async function readText(path: string, required: boolean): Promise<string | undefined> {
  const refuse = (why: string, cause?: unknown) =>
    new Fault('CONFIG_INVALID', `Cannot read the settings file "${path}": ${why}`, { cause });
  try {
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of createReadStream(path, { end: settingsFileBytesMax })) {
      parts.push(part as Buffer);
      length += (part as Buffer).length;
    }
    if (length > settingsFileBytesMax) throw refuse('it is larger than 1 MiB');
    return Buffer.concat(parts).toString('utf8');
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    if (!required && errnoOf(thrown) === 'ENOENT') return undefined;
    throw refuse(errnoOf(thrown) ?? String(thrown), thrown);
  }
}

/** The text of a settings file that must be there. CONFIG_INVALID. */
export const readConfigText = async (path: string): Promise<string> => (await readText(path, true)) ?? '';

async function readSettingsFile(path: string, required: boolean): Promise<Record<string, unknown>> {
  const text = await readText(path, required);
  if (text === undefined) return {};
  try {
    return parse(text);
  } catch (thrown) {
    const where = thrown instanceof TomlError ? `line ${thrown.line}, column ${thrown.column}: ` : '';
    const why = thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : String(thrown);
    throw new Fault('CONFIG_INVALID', `Cannot read the settings file "${path}": ${where}${why}`, {
      cause: thrown,
    });
  }
}

function gather(
  file: Record<string, unknown>,
  path: string,
  flags: NonNullable<SettingsSources['flags']>,
  problems: string[],
): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>();
  for (const [name, value] of Object.entries(file)) {
    if (isSettingName(name)) given.set(name, { value, origin: `file ${path}` });
    else {
      const meant = nearest(name, settingNames);
      const suggestion = meant === undefined ? '' : `: did you mean "${meant}"?`;
      problems.push(`Cannot use "${name}" of file ${path}: there is no such setting${suggestion}`);
    }
  }
  for (const name of settingNames) {
    const value = flags[name];
    if (value === undefined) continue;
    const relative = pathSettings.has(name) && value !== 'none' && value !== '' && !value.includes('://');
    const row: SettingRow<unknown> = settings[name];
    given.set(name, { value: relative ? resolve(value) : value, origin: `flag --${row.flag ?? name}` });
  }
  return given;
}

/** CONFIG_INVALID, with every mistake in `details.problems`. */
export async function loadSettings(sources: SettingsSources = {}): Promise<EffectiveSettings> {
  const path = resolve(sources.file ?? settingsFileDefault);
  const problems: string[] = [];
  const file = await readSettingsFile(path, sources.file !== undefined);
  const given = gather(file, path, sources.flags ?? {}, problems);
  const values: Partial<Record<SettingName, unknown>> = {};
  const origins: Partial<Record<SettingName, string>> = {};
  // `state_dir` is the first row, so that the defaults which follow from it find it decided.
  for (const name of settingNames) {
    const row = settings[name];
    const said = given.get(name);
    const read = said === undefined ? undefined : row.shape.read(said.value);
    if (said !== undefined && read === undefined) {
      problems.push(
        `Cannot use "${String(said.value)}" for ${name} (${said.origin}): it must be ${row.shape.takes}`,
      );
    }
    values[name] = read === undefined ? row.initial(String(values.state_dir)) : read;
    origins[name] = said?.origin ?? 'default';
  }
  const [first] = problems;
  if (first !== undefined) throw new Fault('CONFIG_INVALID', first, { details: { problems } });
  return { values: values as Settings, origins: origins as Record<SettingName, string> };
}
