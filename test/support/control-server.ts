/** A real control server on a real socket, over handlers that a test makes up. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { Fault } from '../../daemon/base/faults.ts';
import type { Handlers } from '../../daemon/control/dispatch.ts';
import { type ControlServer, type ServerParts, startServer } from '../../daemon/control/server.ts';
import { methods } from '../../daemon/protocol/methods.ts';
import type { EventValue, JobValue } from '../../daemon/protocol/values.ts';
import { native } from '../../native/native.ts';

/** Handlers that refuse everything but what `own` has. */
export function fakeHandlers(own: Partial<Handlers>): Handlers {
  const refuse = (name: string) => () =>
    Promise.reject(new Fault('JOB_UNKNOWN', `Cannot call "${name}": it is not part of this test`));
  const all = Object.fromEntries(Object.keys(methods).map((name) => [name, refuse(name)]));
  return { ...all, ...own } as unknown as Handlers;
}

export const fakeJob = (changes: Partial<JobValue> = {}): JobValue => ({
  id: '7d1e55a0-5fb3-4f0c-9c0f-2f6f3f0d3a11',
  kind: 'backup',
  status: 'running',
  project_id: 'default',
  backup_id: null,
  volume_id: null,
  created_at: '2025-01-01T00:00:00.000Z',
  finished_at: null,
  phase: 'reading',
  bytes_done: 0,
  bytes_total: 1,
  bytes_per_second: 0,
  seconds_left: null,
  waiting_for: null,
  limit_bytes_per_second: 0,
  fault: null,
  result: null,
  history: [],
  ...changes,
});

export const fakeEvent = (changes: Partial<EventValue> = {}): EventValue => ({
  id: '5b0f7c1e-2d0a-4b8e-9d53-0c8f1f6a7b21',
  time: '2025-01-01T00:00:00.000Z',
  event: 'create.start',
  job_id: fakeJob().id,
  project_id: 'default',
  host: 'host',
  backup_id: '0d0bb2b5-6a55-4d0c-8a53-8f3f7f1c9e42',
  backup_name: null,
  status: 'creating',
  fail_reason: '',
  volume_id: 'volume',
  volume_name: 'volume',
  restore_volume_id: null,
  parent_id: null,
  snapshot_id: null,
  container: null,
  availability_zone: null,
  created_at: '2025-01-01T00:00:00.000Z',
  size: 1,
  size_bytes: 1,
  percent: 0,
  bytes_done: 0,
  bytes_total: 1,
  bytes_per_second: 0,
  error: null,
  ...changes,
});

export interface TestServer extends ControlServer {
  readonly path: string;
  /** Lines of the log, parsed. */
  readonly log: { readonly level: number; readonly msg: string; readonly err?: { stack?: string } }[];
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-control-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function testServer(
  handlers: Partial<Handlers>,
  parts: Partial<ServerParts> = {},
): Promise<TestServer> {
  const path = parts.socketPath ?? join(await temporaryFolder(), 'b.sock');
  const log: TestServer['log'] = [];
  const sink = new Writable({
    write: (line: Buffer, _encoding, done) => {
      log.push(JSON.parse(line.toString()) as TestServer['log'][number]);
      done();
    },
  });
  const server = await startServer({
    native,
    handlers: fakeHandlers(handlers),
    socketPath: path,
    adminGroup: 'basalt-test-no-such-group',
    log: pino({ level: 'debug' }, sink),
    ...parts,
  });
  let closing: Promise<void> | undefined;
  const close = (graceMs?: number) => (closing ??= server.close(graceMs));
  onTestFinished(() => close(0));
  return { path, log, close };
}
