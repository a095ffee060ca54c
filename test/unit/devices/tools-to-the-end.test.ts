/** Programs that must come to their own end: what is waited for, and what happens when nobody waits any more. */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemTools } from '../../../daemon/devices/connect/tools.ts';
import { eventually } from '../../support/daemon.ts';

test('a program run to its end tells its status and both of its outputs', async () => {
  const script = 'echo said; echo first >&2; echo last >&2; exit 7';
  expect(await systemTools.run('sh', ['-c', script], { toTheEnd: true })).toEqual({
    status: 7,
    stdout: 'said\n',
    stderr: 'first\nlast\n',
    timedOut: false,
    complaint: 'last',
  });
  expect((await systemTools.run('sh', ['-c', 'kill -SEGV $$'], { toTheEnd: true })).status).toBe(null);
});

test('a program run to its end goes on behind the time limit, whatever it has to say', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-tools-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const done = join(folder, 'done');
  const script = `sleep 0.5; echo more; echo complaint >&2; touch ${done}`;
  const ended = await systemTools.run('sh', ['-c', script], { toTheEnd: true, timeoutMs: 100 });
  expect(ended).toMatchObject({ status: null, timedOut: true });
  expect(ended.complaint).toMatch(/did not end within 0\.1 s/);
  expect(existsSync(done)).toBe(false);
  await eventually('it has come to its end', () => existsSync(done));
});
