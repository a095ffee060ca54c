/** What this process sees mounted. Source: proc_pid_mountinfo(5).
 *  Promises: the mounts of our own mount namespace only, whole and in the order of mounting. Touches nothing that is mounted. */

import { readFile } from 'node:fs/promises';

export interface MountEntry {
  /** Which processes' descriptors tell, too. */
  readonly id: number;
  /** The folder of the file system that is shown here. */
  readonly root: string;
  /** Of this mount: "ro", "nosuid" … */
  readonly options: readonly string[];
  /** Of the device under it, "major:minor". */
  readonly device: string;
  readonly directory: string;
  readonly type: string;
  readonly source: string;
}

/** In the order of mounting: of several at one folder the last one is on top. */
export async function readMountTable(): Promise<MountEntry[]> {
  return parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** A line that is none is left out. */
export function parseMountTable(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ', 2);
    const [id, , device, root, directory, options] = (before ?? '').split(' ');
    const [type, source] = (after ?? '').split(' ');
    if (root === undefined || options === undefined) continue;
    if (device === undefined || directory === undefined || type === undefined || source === undefined)
      continue;
    entries.push({
      id: Number(id),
      device,
      root: unescapeOctal(root),
      directory: unescapeOctal(directory),
      options: options.split(','),
      type,
      source: unescapeOctal(source),
    });
  }
  return entries;
}

/** What is on top at exactly `directory`. */
export async function mountedAt(directory: string): Promise<MountEntry | undefined> {
  return (await readMountTable()).findLast((entry) => entry.directory === directory);
}

/** The kernel writes space, tab, line feed and backslash as \ooo in its tables. */
export const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
