/** Events: what the socket, the client and the operator's command are told of backups, restores and deletions. */

import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { EventValue } from '../../daemon/protocol/values.ts';
import { startClient } from '../support/client.ts';
import { type Daemon, eventually } from '../support/daemon.ts';
import { addNoise, daemonForTest, MiB, outsideFolder, sourceOf } from '../support/fault-world.ts';

/** What is told before and after, as `basaltctl events` prints it. */
async function eventsOf(daemon: Daemon, ...words: string[]): Promise<EventValue[]> {
  const { status, stdout } = await daemon.basaltctl('events', '-f', 'json', ...words);
  expect(status).toBe(0);
  return parsed(stdout);
}

const parsed = (lines: string): EventValue[] =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as EventValue);

const namesOf = (events: readonly EventValue[]): string[] => events.map(({ event }) => event);

test('events: a backup, a restore and a deletion have a start and an end each, with the backup as it is then', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 300_000, 1);
  const { backup, job_id } = await daemon.call('backup.create', { volume: 'v', name: 'nightly' });
  await daemon.ended(job_id);
  await daemon.done(daemon.call('backup.restore', { backup: backup.id }));
  await daemon.done(daemon.call('backup.delete', { backup: backup.id }));
  const events = await eventsOf(daemon);
  expect(events.map(({ event, status, percent }) => [event, status, percent])).toEqual([
    ['create.start', 'creating', 0],
    ['create.end', 'available', 100],
    ['restore.start', 'restoring', 0],
    ['restore.end', 'available', 100],
    ['delete.start', 'deleting', 0],
    ['delete.end', 'deleted', 100],
  ]);
  for (const event of events) {
    expect(event).toMatchObject({
      backup_id: backup.id,
      backup_name: 'nightly',
      project_id: 'default',
      volume_id: backup.volume_id,
      volume_name: 'v',
      fail_reason: '',
      error: null,
      size: 1,
      size_bytes: 300_000,
    });
  }
  expect(events[1]).toMatchObject({ job_id, bytes_done: 300_000, bytes_total: 300_000 });
  expect(namesOf(await eventsOf(daemon, '--kind', 'restore'))).toEqual(['restore.start', 'restore.end']);
  expect(namesOf(await eventsOf(daemon, '--backup', 'nightly', '--last', '1'))).toEqual(['delete.end']);
  expect(await eventsOf(daemon, '--backup', 'other')).toEqual([]);
  expect((await daemon.basaltctl('events')).stdout).toContain('create.start');
  expect(await daemon.basaltctl('events', '--kind', 'mount')).toMatchObject({ status: 64 });
});

test('events: what fails or is cancelled ends with its reason, also when it never left the queue', async () => {
  const daemon = await daemonForTest({ settings: 'max_operations = 1\n' });
  await addNoise(daemon, 'slow', 8 * MiB, 1);
  await addNoise(daemon, 'gone', 100_000, 2);
  const held = await daemon.call('backup.create', { volume: 'slow', rate: 4096 });
  const failing = await daemon.call('backup.create', { volume: 'gone' });
  rmSync(sourceOf(daemon, 'gone'));
  await addNoise(daemon, 'queued', 100_000, 3);
  const queued = await daemon.call('backup.create', { volume: 'queued' });
  await daemon.call('job.cancel', { job: queued.job_id });
  await daemon.call('job.cancel', { job: held.job_id });
  await daemon.ended(failing.job_id);
  const endOf = async ({ backup }: { backup: { id: string } }) => {
    const events = await eventsOf(daemon, '--backup', backup.id);
    expect(namesOf(events)).toEqual(['create.start', 'create.end']);
    return events[1];
  };
  const cancelled = { status: 'error', error: { code: 'CANCELLED' } };
  expect(await endOf(held)).toMatchObject({
    ...cancelled,
    fail_reason: expect.stringMatching(/^Cancelled/) as string,
  });
  expect(await endOf(queued)).toMatchObject(cancelled);
  expect(await endOf(failing)).toMatchObject({ status: 'error', error: { code: 'SOURCE_MISSING' } });
});

test('events: who follows hears what happens, with progress at the interval of the settings, and when the daemon stops', async () => {
  const daemon = await daemonForTest({ settings: 'progress_interval = 1\n' });
  await addNoise(daemon, 'v', 6 * MiB, 1);
  await daemon.backUp('v');
  const follower = startClient(['events', '--follow', '-f', 'json', '--last', '1'], {
    env: { BASALT_SOCKET: daemon.socketPath },
  });
  let heard = '';
  follower.child.stdout.on('data', (text: string) => {
    heard += text;
  });
  await eventually('it says what was before', () => heard.includes('create.end'));
  await daemon.done(daemon.call('backup.create', { volume: 'v', rate: 2 * MiB }));
  await eventually(
    'it hears of the next one',
    () => namesOf(parsed(heard)).length > 3 && heard.includes('progress'),
  );
  await daemon.stop();
  const { status, stdout, stderr } = await follower.ended;
  expect(status).toBe(69);
  expect(stderr).toContain('DAEMON_STOPPING');
  const events = parsed(stdout);
  expect(namesOf(events).filter((name) => name !== 'create.progress')).toEqual([
    'create.end',
    'create.start',
    'create.end',
  ]);
  const progress = events.filter(({ event }) => event === 'create.progress');
  expect(progress.length).toBeGreaterThan(0);
  for (const { percent, bytes_done, bytes_total, status: now } of progress) {
    expect(bytes_total).toBe(6 * MiB);
    expect(percent).toBe(Math.floor((bytes_done * 100) / bytes_total));
    expect(percent).toBeLessThan(100);
    expect(now).toBe('creating');
  }
});

test('events: a reader that leaves early ends the following', async () => {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100_000, 1);
  await daemon.backUp('v');
  const follower = startClient(['events', '--follow'], { env: { BASALT_SOCKET: daemon.socketPath } });
  await new Promise<void>((resolve) => {
    follower.child.stdout.once('data', () => resolve());
  });
  follower.child.stdout.destroy();
  for (let number = 0; number < 3; number += 1) await daemon.backUp('v');
  expect((await follower.ended).status).toBe(0);
});

/** A command that keeps what it reads, and does more besides. */
function commandFile(folder: string, more = ''): { path: string; seen: () => EventValue[] } {
  const path = join(folder, 'tell');
  const log = join(folder, 'seen');
  writeFileSync(path, `#!/bin/sh\n${more}\ncat >> "${log}"\n`);
  chmodSync(path, 0o755);
  return { path, seen: () => (existsSync(log) ? parsed(readFileSync(log, 'utf8')) : []) };
}

test('events: the event command gets each event as a line of JSON, in order', async () => {
  const { path, seen } = commandFile(outsideFolder());
  const daemon = await daemonForTest({ settings: `event_command = ["${path}", "a word"]\n` });
  await addNoise(daemon, 'v', 100_000, 1);
  for (let number = 0; number < 3; number += 1) await daemon.backUp('v');
  await eventually('it has seen all', () => seen().length === 6);
  expect(namesOf(seen())).toEqual(Array.from({ length: 3 }, () => ['create.start', 'create.end']).flat());
  expect(seen()).toEqual(await eventsOf(daemon));
});

test('events: a command that hangs holds up no job, is killed with what it began, and no end is lost', async () => {
  const folder = outsideFolder();
  const mark = join(folder, 'hang');
  const pids = join(folder, 'pids');
  writeFileSync(mark, '');
  const { path, seen } = commandFile(
    folder,
    `if [ -e "${mark}" ]; then sleep 300 & echo $! >> "${pids}"; wait; fi`,
  );
  const daemon = await daemonForTest({ settings: `event_command = ["${path}"]\nevent_timeout = 1\n` });
  await addNoise(daemon, 'v', 100_000, 1);
  const made: string[] = [];
  for (let number = 0; number < 3; number += 1) made.push((await daemon.backUp('v')).id);
  const firstSleeper = await eventually(
    'it hangs',
    () => existsSync(pids) && readFileSync(pids, 'utf8').split('\n')[0],
  );
  await eventually('it is killed', () => !existsSync(`/proc/${firstSleeper}`));
  rmSync(mark);
  await eventually('every end is told', () =>
    made.every((id) => seen().some(({ event, backup_id }) => event === 'create.end' && backup_id === id)),
  );
  await eventually('the log says so', () => daemon.log.includes('The event command failed'));
  expect(await daemon.basaltctl('status')).toMatchObject({ status: 0 });
});
