/** What the kernel says of a process and everything below it: resident memory and processor time.
 *  Promises: a process that ends while it is looked at counts as nothing. Linux only (/proc). */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Of /proc/<pid>/stat; Linux shows user space this many on every architecture. */
const ticksPerSecond = 100;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function childrenOf(pid: number): number[] {
  let tasks: string[] = [];
  try {
    tasks = readdirSync(`/proc/${pid}/task`);
  } catch {
    // It has ended.
  }
  return tasks.flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`)
      .split(' ')
      .filter((word) => word.trim() !== '')
      .map(Number),
  );
}

function treeOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)];
}

function statusBytes(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(read(`/proc/${pid}/status`));
  return found === null ? 0 : Number(found[1]) * 1024;
}

/** Resident bytes of the tree now, or the high-water mark of its root where that was more. Pages that processes share
 *  count in each of them. */
export function residentBytes(pid: number): number {
  const now = treeOf(pid).reduce((sum, each) => sum + statusBytes(each, 'VmRSS'), 0);
  return Math.max(now, statusBytes(pid, 'VmHWM'));
}

/** Lets the high-water mark of a process begin anew. */
export function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Not permitted: then the mark is that of its whole life, which is never too low.
  }
}

function ticks(pid: number | 'self', from: number, to: number): number {
  // The name of the program, which comes second, may hold anything but ends at the last bracket.
  const text = read(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields.slice(from, to).reduce((sum, field) => sum + Number(field), 0);
}

/** Seconds that this living process and its children that have ended took. */
export const livingCpuSeconds = (pid: number): number => ticks(pid, 11, 15) / ticksPerSecond;

/** Seconds that all processors of the machine have worked since it started; and of those, what the host of a virtual machine took: its
 *  programs wanted to run, and stood still. */
export function machineSeconds(): { worked: number; takenByHost: number } {
  const words = read('/proc/stat').split('\n', 1)[0]?.trim().split(/\s+/).slice(1) ?? [];
  const fields = words.map((word) => Number(word) / ticksPerSecond);
  // user, nice, system, then idle and waiting (which is no work), interrupts, soft interrupts, taken by the host.
  const worked = fields.reduce((sum, value, i) => (i === 3 || i === 4 || i > 7 ? sum : sum + value), 0);
  return { worked, takenByHost: fields[7] ?? 0 };
}

/** Seconds that all ended children of the bench took, with theirs. */
export const endedCpuSeconds = (): number => ticks('self', 13, 15) / ticksPerSecond;
