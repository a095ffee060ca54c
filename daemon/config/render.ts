/** Settings as people read them: the rows of `config show`, and the manual page. Pure.
 *  Promises: the page follows from the table alone; a test keeps `docs/settings.md` in step. */

import { settingOfOption, takenOptions } from './cinder/names.ts';
import { leftOutOptions, leftOutReason } from './cinder/options.ts';
import type { EffectiveSettings } from './load.ts';
import {
  type SettingName,
  type SettingRow,
  settingNames,
  settings,
  settingsFileDefault,
  stateDirDefault,
} from './settings.ts';

export interface ShownSetting {
  name: string;
  value: string | number | boolean | null;
  origin: string;
  about: string;
}

const rowOf = (name: SettingName): SettingRow<unknown> => settings[name];

export function showSettings(effective: EffectiveSettings): ShownSetting[] {
  return settingNames.map((name) => ({
    name,
    value: rowOf(name).shape.show(effective.values[name]),
    origin: effective.origins[name],
    about: rowOf(name).about,
  }));
}

function renderSetting(name: SettingName): string {
  const row = rowOf(name);
  const initial = row.initialText ?? `\`${row.shape.show(row.initial(stateDirDefault))}\``;
  const lines = [
    `## ${name}`,
    '',
    row.about,
    '',
    `- Takes: ${row.shape.takes}.`,
    `- Default: ${initial}.`,
    `- A change takes effect: ${row.live ? 'when the daemon starts again; `basaltctl limit set` changes it while it runs' : 'when the daemon starts again'}.`,
  ];
  if (row.flag !== undefined) lines.push(`- Flag of \`basaltd\`: \`--${row.flag}\`.`);
  if (row.cinder !== undefined) lines.push(`- In Cinder: \`${row.cinder.replaceAll(', ', '`, `')}\`.`);
  return lines.join('\n');
}

/** What became of every option of Cinder's backup service. */
function renderCinderOptions(): string {
  const taken = takenOptions.map((option) => [
    option,
    `[${settingOfOption(option)}](#${settingOfOption(option)})`,
  ]);
  const left = Object.entries(leftOutOptions).flatMap(([option, row]) =>
    settingOfOption(option) === undefined ? [[option, `no: ${leftOutReason(row)}`]] : [],
  );
  const rows = [...taken, ...left].map(([option, here]) => `| \`${option}\` | ${here} |`);
  return `## Options of Cinder

\`basaltd config import /etc/cinder/cinder.conf\` prints the settings file that says the same as a cinder.conf, and in its comments what
it left out. It reads \`[DEFAULT]\` as oslo.config does, and repeats no value of an option that is left out.

| option | setting |
|---|---|
${rows.join('\n')}`;
}

/** The whole of `docs/settings.md`. */
export function renderSettings(): string {
  const head = `# Settings of basaltd

Made from \`daemon/config/settings.ts\`; to change this page, change the table and run the tests with \`UPDATE_DOCS=1\`.

Settings are read from \`${settingsFileDefault}\`, or from the file that \`--config\` names: TOML, one \`name = value\` a line.
A flag goes before the file, the file before the default. \`basaltd config check\` reads them and changes nothing;
\`basaltd config show --origin\` shows what is in force and where it comes from. An unknown name is a mistake (exit status 78).
A size is a number of bytes, or text with a unit: \`"256MiB"\`, \`"1.5GiB"\`.

\`\`\`toml
state_dir = "${stateDirDefault}"
repository = "file:///srv/backup"
memory_limit = "512MiB"
project_grants = ["uid:1000=web", "gid:2000=web,mail"]
\`\`\`
`;
  return `${[head.trimEnd(), ...settingNames.map(renderSetting), renderCinderOptions()].join('\n\n')}\n`;
}
