/** Deletions that the kernel refuses: what stays in the repository is not told as deleted. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mountedExt4, run } from '../support/devices.ts';
import { addNoise, daemonForTest, MiB } from '../support/fault-world.ts';

test('delete: a manifest that the kernel does not give up leaves the backup as it was', async () => {
  const { folder } = mountedExt4();
  const daemon = await daemonForTest({ repository: join(folder, 'repository') });
  await addNoise(daemon, 'v', MiB, 1);
  const { id: backup } = await daemon.backUp('v');
  const manifest = join(daemon.repositoryDir, 'manifests', `${backup}.json`);
  run('chattr', '+i', manifest);
  await daemon.failed(daemon.call('backup.delete', { backup }), 'REPOSITORY_READ_ONLY');
  expect(await daemon.call('backup.show', { backup })).toMatchObject({ status: 'available' });
  run('chattr', '-i', manifest);
  await daemon.done(daemon.call('backup.delete', { backup }));
  expect(existsSync(manifest)).toBe(false);
});
