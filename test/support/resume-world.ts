/** What tests of interrupted jobs share: slow backups of volumes of noise, how far they are, and what their history says.
 *  Knows nothing of when the daemon ends. */

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { JobValue } from '../../daemon/protocol/values.ts';
import { type Daemon, eventually } from './daemon.ts';

export const MiB = 2 ** 20;

/** Checkpoints as often as can be had. */
export const eagerSettings = 'checkpoint_interval = 1\n';

export const events = ({ history }: JobValue, event: string): string[] =>
  history.filter((one) => one.event === event).map(({ detail }) => detail);

/** Where the job was taken up last, and where it was read or written again from the beginning. */
export function resumedAt(job: JobValue): number {
  const last = events(job, 'resumed').at(-1) ?? '';
  const at = /at byte (\d+)/.exec(last);
  if (at === null) throw new Error(`the job was not taken up in the middle: ${JSON.stringify(job.history)}`);
  return Number(at[1]);
}

export const untilByte = (daemon: Daemon, job: string, byte: number): Promise<JobValue> =>
  eventually(`job ${job} is at byte ${byte}`, async () => {
    const value = await daemon.call('job.show', { job });
    if (value.finished_at !== null) throw new Error(`it ended: ${JSON.stringify(value)}`);
    return value.bytes_done >= byte ? value : undefined;
  });

/** Bytes that a process has asked the kernel to read, from whatever. */
export function bytesRead(pid: number): number {
  const line = /^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
  return Number(line?.[1]);
}

/** Nothing is left of any job: no active one, no locked volume, no half-made backup. */
export async function expectAtRest(daemon: Daemon): Promise<void> {
  expect((await daemon.call('job.list', { active: true })).jobs).toEqual([]);
  for (const { status } of (await daemon.call('volume.list', {})).volumes)
    expect(['available', 'error_restoring']).toContain(status);
  for (const { status } of (await daemon.call('backup.list', {})).backups)
    expect(['available', 'error']).toContain(status);
}
