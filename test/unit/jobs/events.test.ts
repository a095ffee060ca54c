import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import pino from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../daemon/base/clock.ts';
import { eventQueueMax, eventsRememberedMax } from '../../../daemon/base/limits.ts';
import type { JobKind, JobRecord } from '../../../daemon/catalog/records.ts';
import { EventCommand } from '../../../daemon/jobs/event-command.ts';
import { type BackupEvent, Events, type JobStage } from '../../../daemon/jobs/events.ts';
import { endedReport, type JobReport } from '../../../daemon/jobs/report.ts';
import { backupRecord } from '../../support/records.ts';

const jobReport = (id: string, status: JobRecord['status'], kind: JobKind = 'backup'): JobReport =>
  endedReport({
    id,
    kind,
    status,
    project_id: 'default',
    backup_id: 'b',
    volume_id: null,
    created_at: '',
    finished_at: null,
    fault: null,
    result: null,
    bytes_done: 1,
    bytes_total: 3,
    temporary_path: null,
    history: [],
    plan: null,
    crashes: { position: 0, count: 0 },
  });

function ring(progressEveryMs: number | null = null) {
  const catalog = { get: () => backupRecord({ id: 'b' }) as never };
  const events = new Events({ catalog, clock: systemClock, host: 'h', progressEveryMs });
  const names = () => events.last(10_000, () => true).map(({ event, job_id }) => `${job_id} ${event}`);
  const observe = (stage: JobStage, id: string, status: JobRecord['status'], kind?: JobKind) =>
    events.observe(stage, () => jobReport(id, status, kind));
  return { events, names, observe };
}

test('the ring holds the newest events, however many there were', () => {
  const { names, observe } = ring();
  for (let number = 0; number < 3000; number += 1) {
    observe('begun', `${number}`, 'queued');
    observe('running', `${number}`, 'running');
    observe('ended', `${number}`, 'done');
  }
  expect(names()).toHaveLength(eventsRememberedMax);
  expect(names().at(-1)).toBe('2999 create.end');
  expect(names()[0]).toBe('2500 create.start');
});

test('of a running job only the newest progress is kept, of an ended one none; without the timer there is none', async () => {
  const { events, names, observe } = ring(5);
  const heard: string[] = [];
  events.follow(({ event }) => heard.push(event));
  observe('begun', 'j', 'queued');
  observe('running', 'j', 'running');
  while (heard.length < 4) await wait(5);
  expect(names()).toEqual(['j create.start', 'j create.progress']);
  observe('ended', 'j', 'done');
  expect(names()).toEqual(['j create.start', 'j create.end']);
  const before = heard.length;
  await wait(50);
  expect(heard).toHaveLength(before);
  const silent = ring(null);
  silent.observe('begun', 'j', 'queued');
  silent.observe('running', 'j', 'running');
  await wait(20);
  expect(silent.names()).toEqual(['j create.start']);
});

test('a job that the stop of the daemon interrupts has no end yet, and tells of no more progress', async () => {
  const { events, names, observe } = ring(5);
  observe('begun', 'j', 'queued');
  observe('running', 'j', 'running');
  observe('suspended', 'j', 'queued');
  let heard = 0;
  events.follow(() => {
    heard += 1;
  });
  await wait(30);
  expect(heard).toBe(0);
  expect(names()[0]).toBe('j create.start');
  expect(names()).not.toContain('j create.end');
});

test('jobs that do nothing to a backup are not told of', () => {
  const { names, observe } = ring();
  for (const kind of ['verify', 'mount', 'unmount', 'check', 'rebuild'] as const) {
    observe('begun', kind, 'queued', kind);
    observe('ended', kind, 'done', kind);
  }
  expect(names()).toEqual([]);
});

const { events, observe } = ring();
observe('begun', 'j', 'queued');
observe('ended', 'j', 'done');
const [sample] = events.last(1, () => true);

const event = (job_id: string, step: string): BackupEvent => {
  if (sample === undefined) throw new Error('no sample');
  return { ...sample, job_id, event: `create.${step}` as BackupEvent['event'] };
};

/** A command that says what it read, once `go` is there. */
function world(script: string) {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-events-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'command');
  writeFileSync(path, `#!/bin/sh\ncd "${folder}"\n${script}\n`);
  chmodSync(path, 0o755);
  const lines: { msg: string; complaint?: string; events?: number }[] = [];
  const log = pino(
    {},
    { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  );
  const command = new EventCommand({ words: [path], timeoutMs: 60_000, log, triesMax: 3, restMs: 50 });
  const seen = () =>
    existsSync(join(folder, 'seen'))
      ? readFileSync(join(folder, 'seen'), 'utf8')
          .split('\n')
          .filter((line) => line.endsWith('}'))
          .map((line) => JSON.parse(line) as BackupEvent)
          .map((one) => `${one.job_id} ${one.event}`)
      : [];
  return { folder, command, lines, seen };
}

test('a queue that is full loses progress first, then starts, then the oldest ends, and the log says so', async () => {
  const { folder, command, lines, seen } = world('while [ ! -e go ]; do sleep 0.02; done; cat >> seen');
  onTestFinished(() => command.stop(0));
  command.push(event('first', 'start'));
  for (let number = 0; number < eventQueueMax - 2; number += 1) command.push(event(`e${number}`, 'end'));
  command.push(event('s', 'start'));
  command.push(event('p', 'progress'));
  expect(lines).toEqual([]);
  command.push(event('x', 'end'));
  command.push(event('y', 'end'));
  command.push(event('z', 'end'));
  expect(lines.map(({ msg }) => msg)).toEqual(['The event command is too slow: dropping events']);
  writeFileSync(join(folder, 'go'), '');
  while (seen().length < 4) await wait(20);
  // Progress and start went first, then the oldest end.
  expect(seen().slice(0, 4)).toEqual([
    'first create.start',
    'e1 create.end',
    'e2 create.end',
    'e3 create.end',
  ]);
});

test('progress of a job that waits is made old by what is told later of the job', async () => {
  const { folder, command, seen } = world('while [ ! -e go ]; do sleep 0.02; done; cat >> seen');
  for (const step of ['start', 'progress', 'progress', 'end']) command.push(event('j', step));
  writeFileSync(join(folder, 'go'), '');
  await command.stop(10_000);
  expect(seen()).toEqual(['j create.start', 'j create.end']);
});

test('an end that failed is tried again while others go on, and given up after some tries', async () => {
  const { command, lines, seen } = world(
    'line=$(cat); case "$line" in *\'"job_id":"bad"\'*) exit 3;; esac; echo "$line" >> seen',
  );
  command.push(event('bad', 'start'));
  command.push(event('bad', 'end'));
  command.push(event('good', 'end'));
  await command.stop(10_000);
  // Both at once: where an event was not taken, the complaints say why.
  const complaints = lines.map(({ complaint }) => complaint);
  expect({ seen: seen(), complaints }).toEqual({
    seen: ['good create.end'],
    complaints: Array.from({ length: 4 }, () => 'it ended with status 3'),
  });
});

test('a stop waits a while for the command, then ends it and says what it did not get', async () => {
  const { command, lines, seen } = world('sleep 100; cat >> seen');
  command.push(event('a', 'start'));
  command.push(event('a', 'end'));
  const before = performance.now();
  await command.stop(200);
  expect(performance.now() - before).toBeLessThan(5000);
  expect(seen()).toEqual([]);
  expect(lines.at(-1)).toMatchObject({ msg: 'Stopped before the event command had them all', events: 1 });
});

test('a command that can not be run is a line in the log, and nothing else', async () => {
  const lines: { msg: string }[] = [];
  const log = pino(
    {},
    { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
  );
  const missing = new EventCommand({
    words: ['/nonexistent/command'],
    timeoutMs: 5000,
    log,
    triesMax: 1,
    restMs: 1,
  });
  missing.push(event('a', 'end'));
  await missing.stop(10_000);
  expect(lines.map(({ msg }) => msg)).toEqual(['The event command failed']);
});
