/** A daemon that answers with what a test hands it: for tests of the client alone. Speaks real frames over a real socket.
 *  Promises: keeps every call in order; a method without an answer is METHOD_UNKNOWN. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBody, encodeFrame, FrameReader } from '../../daemon/protocol/frames.ts';
import type { BackupValue, FaultValue, JobValue } from '../../daemon/protocol/values.ts';

export interface Reply {
  result(value: unknown): void;
  fault(fault: FaultValue): void;
  event(job: JobValue): void;
  /** Closes the connection without an answer. */
  cutOff(): void;
  /** Bytes that are no frame of anybody. */
  raw(bytes: Buffer): void;
}

export type Answer = (reply: Reply, params: Record<string, unknown>) => void;

export interface FakeDaemon {
  readonly socketPath: string;
  readonly calls: { method: string; params: Record<string, unknown> }[];
  /** Resolves when `method` has been called; at once where it has been already. */
  called(method: string): Promise<void>;
  /** Resolves when a connection has ended. */
  readonly closed: Promise<void>;
  stop(): Promise<void>;
}

const hello: Answer = (reply) => reply.result({ version: '0.1.0', protocol: { major: 1, minor: 0 } });

export const aFault = (code: string, message = `Cannot do "${code}"`): FaultValue => ({
  code,
  message,
  hint: `Hint of ${code}`,
});

export async function startFakeDaemon(answers: Readonly<Record<string, Answer>>): Promise<FakeDaemon> {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-fake-'));
  const socketPath = join(folder, 'basaltd.sock');
  const table: Readonly<Record<string, Answer>> = { hello, ...answers };
  const calls: FakeDaemon['calls'] = [];
  const waiting: { method: string; resolve: () => void }[] = [];
  const sockets = new Set<Socket>();
  let close: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', close);
    socket.on('error', () => {});
    serve(socket, (method, params, reply) => {
      calls.push({ method, params });
      const answer = table[method];
      if (answer === undefined) reply.fault(aFault('METHOD_UNKNOWN'));
      else answer(reply, params);
      for (const one of waiting) if (one.method === method) one.resolve();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(socketPath, resolve);
  });
  return {
    socketPath,
    calls,
    closed,
    called: (method) =>
      calls.some((call) => call.method === method)
        ? Promise.resolve()
        : new Promise((resolve) => waiting.push({ method, resolve })),
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
      rmSync(folder, { recursive: true });
    },
  };
}

function serve(
  socket: Socket,
  take: (method: string, params: Record<string, unknown>, reply: Reply) => void,
): void {
  const reader = new FrameReader();
  const send = (message: unknown): void => {
    socket.write(encodeFrame(message));
  };
  socket.on('data', (chunk: Buffer) => {
    for (const body of reader.push(chunk)) {
      const { id, method, params } = decodeBody(body) as {
        id: number;
        method: string;
        params?: Record<string, unknown>;
      };
      take(method, params ?? {}, {
        result: (result) => send({ id, result }),
        fault: (error) => send({ id, error }),
        event: (data) => send({ id, event: 'job', data }),
        cutOff: () => socket.destroy(),
        raw: (bytes) => socket.write(bytes),
      });
    }
  });
}

export const jobId = '11111111-1111-4111-8111-111111111111';

export const aJob = (more: Partial<JobValue> = {}): JobValue => ({
  id: jobId,
  kind: 'backup',
  status: 'running',
  project_id: 'default',
  backup_id: null,
  volume_id: null,
  created_at: '2026-01-02T03:04:05.000Z',
  finished_at: null,
  phase: 'copying',
  bytes_done: 0,
  bytes_total: 0,
  bytes_per_second: 0,
  seconds_left: null,
  waiting_for: null,
  limit_bytes_per_second: 0,
  fault: null,
  result: null,
  history: [],
  ...more,
});

export const aBackup = (more: Partial<BackupValue> = {}): BackupValue => ({
  id: '22222222-2222-4222-8222-222222222222',
  repository: 'default',
  name: 'nightly',
  description: null,
  status: 'available',
  fail_reason: '',
  volume_id: '33333333-3333-4333-8333-333333333333',
  volume_name: 'web',
  project_id: 'default',
  user_id: '0',
  host: 'alpha',
  service: 'native',
  service_metadata: 'manifests/22222222-2222-4222-8222-222222222222.json',
  size: 2,
  size_bytes: 1_610_612_736,
  is_incremental: false,
  has_dependent_backups: false,
  num_dependent_backups: 0,
  parent_id: null,
  data_timestamp: '2026-01-02T03:04:05.000Z',
  created_at: '2026-01-02T03:04:05.000Z',
  updated_at: '2026-01-02T03:04:06.000Z',
  snapshot_id: null,
  temp_volume_id: null,
  temp_snapshot_id: null,
  restore_volume_id: null,
  encryption_key_id: null,
  container: null,
  availability_zone: null,
  metadata: {},
  root_digest: 'ab'.repeat(32),
  object_count: 3,
  read_bytes: 4096,
  zero_bytes: 0,
  new_bytes: 4096,
  stored_bytes: 2048,
  consistency: 'clean',
  consistency_evidence: null,
  ...more,
});
