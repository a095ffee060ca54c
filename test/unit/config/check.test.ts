import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GiB, MiB } from '../../../daemon/base/bytes.ts';
import { checkSettings, checkTogether, requireUsable, usableMemory } from '../../../daemon/config/check.ts';
import { loadSettings } from '../../../daemon/config/load.ts';

const valuesWith = async (flags: Record<string, string>) =>
  (await loadSettings({ file: '/dev/null', flags: { state_dir: '/srv/b', ...flags } })).values;

test('the defaults go together', async () => {
  expect(checkTogether(await valuesWith({}), 4 * GiB)).toEqual([]);
});

test.each([
  [{ socket: `/${'x'.repeat(107)}` }, 'socket', /at most 107 bytes/],
  [{ view_dir: '/srv/b' }, 'view_dir', /state_dir lies inside it/],
  [{ view_dir: '/' }, 'view_dir', /lies inside it/],
  [{ view_dir: '/repo', repository: '/repo/of/mine' }, 'view_dir', /repository lies inside it/],
])('%o is a problem of %s', async (flags, setting, why) => {
  const problems = checkTogether(await valuesWith(flags), 4 * GiB);
  expect(problems[0]).toMatchObject({ setting, sentence: expect.stringMatching(why) as string });
});

test('a view beside a folder whose name begins alike is no problem', async () => {
  const values = await valuesWith({ view_dir: '/srv/view', repository: '/srv/view-of-mine' });
  expect(checkTogether(values, 4 * GiB)).toEqual([]);
});

test('a machine without room for the smallest budget is a problem; a limit beyond a larger one is capped', async () => {
  expect(checkTogether(await valuesWith({}), 150 * MiB)).toMatchObject([
    { setting: 'memory_limit', sentence: expect.stringContaining('150MiB') as string },
  ]);
  expect(checkTogether(await valuesWith({ memory_limit: '8GiB' }), 4 * GiB)).toEqual([]);
  expect(usableMemory(4 * GiB)).toBe(3276 * MiB);
  expect(usableMemory(224 * MiB)).toBe(128 * MiB);
});

test('a file where a folder has to be is named, and nothing is made', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-check-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'file'), '');
  const good = await valuesWith({ state_dir: join(folder, 'new', 'deep') });
  expect(await checkSettings(good)).toEqual([]);
  const bad = await valuesWith({ state_dir: join(folder, 'file', 'deep') });
  const problems = await checkSettings(bad);
  expect(problems.map((problem) => problem.setting)).toEqual(['state_dir', 'restore_dir', 'socket']);
  expect(problems[0]?.sentence).toContain(`"${join(folder, 'file')}" is not a folder`);
  await expect(requireUsable(bad)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});
