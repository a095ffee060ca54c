/** Which setting an option of Cinder is, by the rows of `settings.ts`. Pure. */

import { type SettingName, type SettingRow, settingNames, settings } from '../settings.ts';

const rowOf = (name: SettingName): SettingRow<unknown> => settings[name];

/** What Cinder calls a setting; several where it takes several options to say it. */
export const cinderNamesOf = (name: SettingName): string[] => rowOf(name).cinder?.split(/,\s*/) ?? [];

const settingsByOption: ReadonlyMap<string, SettingName> = new Map(
  settingNames.flatMap((name) => cinderNamesOf(name).map((option) => [option, name] as const)),
);

/** Every option of Cinder that is a setting here. */
export const takenOptions: readonly string[] = [...settingsByOption.keys()];

export const settingOfOption = (option: string): SettingName | undefined => settingsByOption.get(option);
