/** Names of LVM: of groups and volumes, as URLs, and as device-mapper shows them. Pure.
 *  Promises: a name that passes can be a word of a command line, is one that LVM takes, and names no part of LVM itself.
 *  Source: lvm(8), "VALID NAMES"; dm_split_lvm_name of libdevmapper; the uuid that LVM gives its devices. */

import { Fault } from '../../../base/faults.ts';

export interface VolumeName {
  readonly group: string;
  readonly volume: string;
}

/** The uuids as LVM prints them: "AbCdEf-0123-…". */
export interface VolumeIds {
  readonly groupId: string;
  readonly volumeId: string;
}

export const isVolumeId = (text: string): boolean =>
  /^[A-Za-z0-9]{6}(-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}$/.test(text);

const nameLengthMax = 127;
const letters = /^[A-Za-z0-9_.+][A-Za-z0-9_.+-]*$/;
const reserved =
  /^(snapshot|pvmove)|_(cdata|cmeta|corig|mlog|mimage|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|imeta|iorig)/;

const isName = (text: string): boolean =>
  letters.test(text) && text.length <= nameLengthMax && text !== '.' && text !== '..';

/** Why the names can't be those of a volume; undefined where they can. */
export function flawOf({ group, volume }: VolumeName): string | undefined {
  if (!isName(group)) return `"${group.slice(0, nameLengthMax)}" can not be the name of a volume group`;
  if (!isName(volume)) return `"${volume.slice(0, nameLengthMax)}" can not be the name of a volume`;
  return reserved.test(volume) ? `"${volume}" is a name that LVM keeps for itself` : undefined;
}

/** `lvm:GROUP/VOLUME`, also with slashes before it. INVALID_ARGUMENT. */
export function parseVolumeUrl(text: string): VolumeName {
  const refuse = (why: string) =>
    new Fault('INVALID_ARGUMENT', `Cannot use "${text.slice(0, 4 * nameLengthMax)}" as a device: ${why}`, {
      hint: 'A volume of LVM is named by its group and its name: lvm:GROUP/VOLUME',
    });
  const [, group, volume] = /^lvm:(?:\/\/)?\/?([^/]*)\/([^/]*)$/i.exec(text) ?? [];
  if (group === undefined || volume === undefined) throw refuse('it is not a group and a volume');
  const name = { group, volume };
  const flaw = flawOf(name);
  if (flaw !== undefined) throw refuse(flaw);
  return name;
}

export const formatVolumeUrl = ({ group, volume }: VolumeName): string => `lvm:${group}/${volume}`;

/** As commands take it. */
export const wordOf = ({ group, volume }: VolumeName): string => `${group}/${volume}`;

/** What device-mapper calls it "group-volume", with each hyphen of a name doubled; undefined where it is of another kind. */
export function splitMapName(name: string): VolumeName | undefined {
  const [, group, volume] = /^((?:[^-]|--)+)-((?:[^-]|--)+)$/.exec(name) ?? [];
  if (group === undefined || volume === undefined) return undefined;
  const found = { group: group.replaceAll('--', '-'), volume: volume.replaceAll('--', '-') };
  return flawOf(found) === undefined ? found : undefined;
}

const dashed = (id: string): string =>
  [id.slice(0, 6), id.slice(6, 10), id.slice(10, 14), id.slice(14, 18), id.slice(18, 22), id.slice(22, 26)]
    .concat(id.slice(26))
    .join('-');

/** The ids in the uuid of a map; undefined where it is no volume of LVM, or only a part of one ("…-real", "…-cow", "…-tpool"). */
export function splitMapId(uuid: string): VolumeIds | undefined {
  const [, group, volume] = /^LVM-([A-Za-z0-9]{32})([A-Za-z0-9]{32})$/.exec(uuid) ?? [];
  if (group === undefined || volume === undefined) return undefined;
  return { groupId: dashed(group), volumeId: dashed(volume) };
}

/** `part`: "tpool" for what is below a thin pool. */
export const mapIdOf = ({ groupId, volumeId }: VolumeIds, part?: string): string =>
  `LVM-${groupId.replaceAll('-', '')}${volumeId.replaceAll('-', '')}${part === undefined ? '' : `-${part}`}`;
