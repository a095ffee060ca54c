import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../daemon/base/clock.ts';
import { openLmdbCatalog } from '../../../daemon/catalog/lmdb-catalog.ts';
import type { JobOrder } from '../../../daemon/jobs/job-order.ts';
import { Jobs } from '../../../daemon/jobs/jobs.ts';

const order = (kind: JobOrder['kind'], run: JobOrder['run'] = async () => ({})): JobOrder => ({
  kind,
  project_id: 'default',
  backup_id: 'b',
  volume_id: null,
  run,
});

function openJobs(): Jobs {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-jobs-'));
  const catalog = openLmdbCatalog(join(folder, 'catalog.mdb'));
  onTestFinished(async () => {
    await catalog.close();
    rmSync(folder, { recursive: true });
  });
  return new Jobs({ catalog, clock: systemClock, log: pino({ level: 'silent' }) });
}

/** Resolves when `open` is called. */
function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test('while the catalog is made anew no other job begins, but for an unmount', async () => {
  const jobs = openJobs();
  const { opened, open } = gate();
  const rebuild = await jobs.submit(order('rebuild', () => opened.then(() => ({}))));
  for (const kind of ['backup', 'restore', 'delete', 'verify', 'check', 'mount', 'rebuild'] as const) {
    await expect(jobs.submit(order(kind))).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
  }
  const unmount = await jobs.submit(order('unmount'));
  expect((await jobs.cancel(unmount.id)).record.finished_at).not.toBe(null);
  open();
  await jobs.watch(rebuild.id, () => undefined, new AbortController().signal);
  await jobs.submit(order('backup'));
  await jobs.stop();
});
