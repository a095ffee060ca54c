/** Settings against each other and against this machine, for `basaltd config check` and before the daemon starts.
 *  Promises: changes nothing; gives every problem as a sentence, so that one run shows all.
 *  What it does not know: whether the repository is whole; that is the repository's own check. */

import { stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MiB } from '../base/bytes.ts';
import { errnoOf, Fault } from '../base/faults.ts';
import { isWithin } from '../base/paths.ts';
import { controlGroupMemory } from './control-group.ts';
import { memoryLimitMin, type SettingName, type SettingRow, type Settings, settings } from './settings.ts';
import { showSize } from './shapes.ts';

export interface Problem {
  readonly setting: SettingName;
  readonly sentence: string;
}

/** What the process has beside its buffers. */
const processBytes = 96 * MiB;

/** Longest path that the kernel takes for a Unix socket (sun_path, less its zero byte). */
const socketPathBytesMax = 107;

/** Bytes that all buffers may have on a machine (or in a control group) of `machineBytes`: the process itself needs some too. Pure. */
export const usableMemory = (machineBytes: number): number =>
  Math.floor(Math.min(machineBytes * 0.8, machineBytes - processBytes) / MiB) * MiB;

/** Memory of this machine, or of the control groups that the process runs in. */
export const machineMemory = async (): Promise<number> => Math.min(totalmem(), await controlGroupMemory());

/** What the values say about each other. Pure. */
export function checkTogether(values: Settings, machineBytes: number): Problem[] {
  const problems: Problem[] = [];
  const add = (setting: SettingName, why: string) => {
    const row: SettingRow<unknown> = settings[setting];
    const shown = String(row.shape.show(values[setting]));
    problems.push({ setting, sentence: `Cannot use "${shown}" for ${setting}: ${why}` });
  };
  if (Buffer.byteLength(values.socket) > socketPathBytesMax) {
    add('socket', `a socket path has at most ${socketPathBytesMax} bytes`);
  }
  if (usableMemory(machineBytes) < memoryLimitMin) {
    add('memory_limit', `this machine, or this control group, has only ${showSize(machineBytes)} of memory`);
  }
  if (values.freeze_command !== null && values.thaw_command === null) {
    add('freeze_command', 'what is frozen must be thawed: thaw_command is not set');
  }
  const view = values.view_dir;
  if (view === null) return problems;
  const held: [SettingName, string][] = [
    ['state_dir', values.state_dir],
    ['socket', values.socket],
    ['restore_dir', values.restore_dir],
  ];
  if (values.repository.startsWith('file://')) held.push(['repository', fileURLToPath(values.repository)]);
  for (const [name, path] of held) {
    // The view is mounted over its folder: what lies inside would be hidden, and the daemon would read itself.
    if (isWithin(path, view)) add('view_dir', `${name} lies inside it`);
  }
  return problems;
}

/** The first part of `path` that exists must be a folder. */
async function folderProblem(setting: SettingName, path: string): Promise<Problem | undefined> {
  const say = (why: string): Problem => ({
    setting,
    sentence: `Cannot use "${path}" for ${setting}: ${why}`,
  });
  for (let part = path; ; part = dirname(part)) {
    try {
      return (await stat(part)).isDirectory() ? undefined : say(`"${part}" is not a folder`);
    } catch (thrown) {
      const code = errnoOf(thrown);
      // A file in the middle of the path gives ENOTDIR for what is below it; the next round names it.
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || part === dirname(part)) {
        return say(`"${part}" can't be looked at (${code ?? String(thrown)})`);
      }
    }
  }
}

/** Every problem there is; an empty list means that the daemon can start with these settings. */
export async function checkSettings(values: Settings): Promise<Problem[]> {
  const folders: [SettingName, string][] = [
    ['state_dir', values.state_dir],
    ['restore_dir', values.restore_dir],
    ['socket', dirname(values.socket)],
  ];
  // A view that a crash left mounted answers ENOTCONN: the daemon clears it away, so it is not looked at here.
  const looked = await Promise.all(folders.map(([setting, path]) => folderProblem(setting, path)));
  return [
    ...checkTogether(values, await machineMemory()),
    ...looked.filter((problem) => problem !== undefined),
  ];
}

/** CONFIG_INVALID where `checkSettings` finds anything. */
export async function requireUsable(values: Settings): Promise<void> {
  const problems = await checkSettings(values);
  const [first] = problems;
  if (first === undefined) return;
  throw new Fault('CONFIG_INVALID', first.sentence, {
    details: { problems: problems.map((problem) => problem.sentence) },
  });
}
