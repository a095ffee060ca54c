/** Makes a settings file of Basalt from a cinder.conf.
 *  Promises: the file can be used as it is; every option of the backup service that was given is in it, or named in it with the
 *  reason why not; values of options that are left out (passwords, keys) are not repeated. */

import { stringify } from 'smol-toml';
import { readConfigText } from '../load.ts';
import type { SettingName } from '../settings.ts';
import { settingNames } from '../settings.ts';
import { settingOfOption } from './names.ts';
import { leftOutOptions, leftOutReason } from './options.ts';
import { type OsloFile, parseOsloFile, substitute } from './oslo-file.ts';
import { cinderPlace, placeOptions } from './repository.ts';
import { takeOption } from './take.ts';

export interface ImportedSettings {
  /** TOML, with comments. */
  readonly text: string;
  readonly taken: number;
  readonly leftOut: number;
}

interface Line {
  readonly options: readonly string[];
  readonly value: string | number | boolean | null;
  readonly note: string | undefined;
}

/** What options refer to where a file does not say it. */
const cinderDefaults: Readonly<Record<string, string>> = {
  state_path: '/var/lib/cinder',
  backup_posix_path: '$state_path/backup',
  backup_mount_point_base: '$state_path/backup_mount',
};

/** Reads the file at `path`. CONFIG_INVALID. */
export async function readCinderSettings(path: string): Promise<ImportedSettings> {
  return importCinderSettings(await readConfigText(path), path);
}

/** CONFIG_INVALID where `text` is no file of oslo.config; `path` is how it is called. */
export function importCinderSettings(text: string, path: string): ImportedSettings {
  const file = parseOsloFile(text, path);
  const given = file.sections.get('DEFAULT') ?? new Map<string, string>();
  const lines = new Map<SettingName, Line>();
  const leftOut: (readonly [option: string, reason: string])[] = [];
  const look = valueIn(file);
  takePlace(look, given, lines, leftOut);
  for (const option of ownDriverFirst([...given.keys()], look('backup_driver'))) {
    if (placeOptions.has(option)) continue;
    const setting = settingOfOption(option);
    const value = look(option);
    const row = Object.hasOwn(leftOutOptions, option) ? leftOutOptions[option] : undefined;
    if (setting === undefined) {
      leftOut.push([
        option,
        row === undefined ? 'it is no option of the backup service' : leftOutReason(row),
      ]);
    } else if (value === undefined) leftOut.push([option, 'it refers to an option that is not known here']);
    else {
      const taken = takeOption(option, setting, value);
      const said = lines.get(setting)?.options.join(', ');
      if (said !== undefined) leftOut.push([option, `${said} says it already, for the driver of this file`]);
      else if ('refused' in taken) leftOut.push([option, taken.refused]);
      else lines.set(setting, { options: [option], value: taken.value, note: taken.note });
    }
  }
  const others = [...file.sections.keys()].filter((name) => name !== 'DEFAULT');
  return { text: render(path, lines, leftOut, others), taken: lines.size, leftOut: leftOut.length };
}

/** Drivers have options of their own for one setting: the one of the driver that is in use goes before the others. */
function ownDriverFirst(options: readonly string[], driver: string | undefined): string[] {
  const inUse = /\.(s3|gcs|swift)\b/.exec(driver ?? '.swift')?.[1];
  const isOwn = (option: string) => /^backup_(s3|gcs|swift)_/.exec(option)?.[1] === inUse;
  return [...options.filter(isOwn), ...options.filter((option) => !isOwn(option))];
}

/** Reads an option, with everything that it refers to. A name may have its section before a dot. */
function valueIn({ sections }: OsloFile): (option: string) => string | undefined {
  const written = (name: string): string | undefined => {
    const dot = name.indexOf('.');
    const inner =
      dot < 0 ? undefined : sections.get(name.slice(0, dot).toLowerCase())?.get(name.slice(dot + 1));
    const initial = Object.hasOwn(cinderDefaults, name) ? cinderDefaults[name] : undefined;
    return inner ?? sections.get('DEFAULT')?.get(name) ?? initial;
  };
  return (option) => {
    const value = written(option);
    return value === undefined ? undefined : substitute(value, written);
  };
}

function takePlace(
  look: (option: string) => string | undefined,
  given: ReadonlyMap<string, string>,
  lines: Map<SettingName, Line>,
  leftOut: (readonly [string, string])[],
): void {
  const options = [...placeOptions].filter((option) => given.has(option));
  const place = cinderPlace(look, (option) => given.has(option));
  if (place === undefined) return;
  if ('refused' in place) for (const option of options) leftOut.push([option, place.refused]);
  else lines.set('repository', { options, value: place.url, note: place.note });
}

/** Text that can't leave the comment that it stands in. */
const inComment = (text: string): string => text.replaceAll(/[^ -~]/g, '?').slice(0, 400);

function render(
  path: string,
  lines: ReadonlyMap<SettingName, Line>,
  leftOut: readonly (readonly [option: string, reason: string])[],
  sections: readonly string[],
): string {
  const settings = settingNames.flatMap((name) => {
    const line = lines.get(name);
    if (line === undefined) return [];
    const note = line.note === undefined ? '' : ` (${inComment(line.note)})`;
    return [
      '',
      `# ${inComment(line.options.join(', '))}${note}`,
      stringify({ [name]: line.value }).trimEnd(),
    ];
  });
  const omitted = leftOut.map(([option, reason]) => `# - ${inComment(option)}: ${inComment(reason)}.`);
  if (sections.length > 0) {
    const names = sections.map((name) => `[${name}]`).join(' ');
    omitted.push(`# - ${inComment(names)}: only [DEFAULT] has options of the backup service.`);
  }
  const rest = omitted.length === 0 ? [] : ['', '# Left out:', ...omitted];
  return `${[`# Settings of basaltd, made from "${inComment(path)}".`, ...settings, ...rest].join('\n')}\n`;
}
