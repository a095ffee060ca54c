import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import type { Catalog } from '../../../daemon/catalog/catalog.ts';
import { openLmdbCatalog } from '../../../daemon/catalog/lmdb-catalog.ts';
import type { JobOrder } from '../../../daemon/jobs/job-order.ts';
import { Jobs } from '../../../daemon/jobs/jobs.ts';
import { temporaryFolder } from '../../support/repository.ts';

let folder = '';
let catalog: Catalog;

beforeEach(async () => {
  folder = await temporaryFolder();
  catalog = openLmdbCatalog(join(folder, 'catalog.mdb'));
});

afterEach(async () => {
  await catalog.close();
  await rm(folder, { recursive: true });
});

const jobsWith = (commit: Catalog['commit'] = (change) => catalog.commit(change)) =>
  new Jobs({ catalog: { ...catalog, commit }, clock: { now: () => 0 }, log: pino({ level: 'silent' }) });

const order = (run: JobOrder['run']): JobOrder => ({
  kind: 'verify',
  project_id: 'default',
  backup_id: null,
  volume_id: null,
  run,
});

const untilAborted: JobOrder['run'] = ({ signal }) =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

const planted = () => Promise.reject(new Fault('STORAGE_FAILED', 'Cannot write to the catalog: planted'));

test('a stop waits for a job that is just being recorded', async () => {
  const jobs = jobsWith();
  const submitted = jobs.submit(order(untilAborted));
  await jobs.stop();
  const { id } = await submitted;
  expect(catalog.get('jobs', id)).toMatchObject({ status: 'failed', fault: { code: 'INTERRUPTED' } });
});

test('a job that could not be recorded is forgotten, and its order does not run', async () => {
  const jobs = jobsWith(planted);
  let ran = false;
  const run = async () => {
    ran = true;
    return {};
  };
  await expect(jobs.submit(order(run))).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  await jobs.stop();
  expect(ran).toBe(false);
  expect(jobs.list()).toEqual([]);
});

test('a job whose end did not reach the catalog is not told as done', async () => {
  let commits = 0;
  const jobs = jobsWith((change) => {
    commits += 1;
    return commits === 1 ? catalog.commit(change) : planted();
  });
  let finish: (result: Record<string, unknown>) => void = () => undefined;
  const running = new Promise<Record<string, unknown>>((resolve) => {
    finish = resolve;
  });
  const { id } = await jobs.submit(order(() => running));
  const told: string[] = [];
  const watched = jobs.watch(id, ({ record }) => told.push(record.status), new AbortController().signal);
  finish({});
  expect((await watched).record).toMatchObject({ status: 'failed', fault: { code: 'STORAGE_FAILED' } });
  expect(told).not.toContain('done');
});

test('who has gone before it watches does not wait for the job', async () => {
  const jobs = jobsWith();
  const { id } = await jobs.submit(order(untilAborted));
  const { record } = await jobs.watch(id, () => undefined, AbortSignal.abort());
  expect(record.finished_at).toBeNull();
  expect((await jobs.cancel(id)).record.status).toBe('cancelled');
});

test('until its end is durable a job is told as one that runs', async () => {
  let commits = 0;
  let ending: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    ending = resolve;
  });
  let flush: () => void = () => undefined;
  const flushed = new Promise<void>((resolve) => {
    flush = resolve;
  });
  const jobs = jobsWith(async (change) => {
    commits += 1;
    if (commits > 1) {
      ending();
      await flushed;
    }
    await catalog.commit(change);
  });
  const { id } = await jobs.submit(
    order(async ({ progress }) => {
      progress({ bytesDone: 1, bytesTotal: 1, phase: 'copying' });
      return {};
    }),
  );
  await reached;
  expect(jobs.report(id)).toMatchObject({
    phase: 'copying',
    record: { status: 'running', finished_at: null },
  });
  expect(jobs.list()).toHaveLength(1);
  flush();
  const { record, phase } = await jobs.watch(id, () => undefined, new AbortController().signal);
  expect([record.status, phase]).toEqual(['done', 'done']);
});

test('what a job could not hand over is still its own to remove', async () => {
  const removed: string[] = [];
  let refuse = false;
  const commit: Catalog['commit'] = (change) => (refuse ? planted() : catalog.commit(change));
  const jobs = new Jobs({
    catalog: { ...catalog, commit },
    clock: { now: () => 0 },
    log: pino({ level: 'silent' }),
    removeTemporary: async (path) => void removed.push(path),
  });
  const { id } = await jobs.submit(
    order(async ({ journalTemporary }) => {
      await journalTemporary('/made');
      refuse = true;
      await expect(journalTemporary(null)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
      refuse = false;
      return {};
    }),
  );
  await jobs.watch(id, () => undefined, new AbortController().signal);
  expect(removed).toEqual(['/made']);
  expect(catalog.get('jobs', id)).toMatchObject({ status: 'done', temporary_path: null });
});
