/** Several backups of one name: what is meant, and what is told where nobody can know. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import { addNoise, daemonForTest } from '../support/fault-world.ts';

async function world() {
  const daemon = await daemonForTest();
  await addNoise(daemon, 'v', 100_000, 1);
  const called = async (name: string): Promise<BackupValue> => {
    const { backup, job_id } = await daemon.call('backup.create', { volume: 'v', name });
    await daemon.done({ job_id });
    return backup;
  };
  return { daemon, called };
}

test('a backup that failed does not stand in the way of the one of its name that is whole', async () => {
  const { daemon, called } = await world();
  const failed = await called('nightly');
  await daemon.call('backup.set', { backup: failed.id, state: 'error' });
  const whole = await called('nightly');
  const shown = await daemon.basaltctl('backup', 'show', 'nightly', '-f', 'value', '-c', 'id');
  expect(shown).toEqual({ status: 0, stdout: `${whole.id}\n`, stderr: '' });
  const target = join(daemon.folder, 'out.img');
  const restored = await daemon.basaltctl('backup', 'restore', 'nightly', target, '--wait', '-f', 'json');
  expect(JSON.parse(restored.stdout)).toMatchObject({ backup_id: whole.id });
  expect((await daemon.basaltctl('backup', 'verify', 'nightly')).status).toBe(0);
  // What takes away or changes guesses nothing.
  for (const words of [
    ['delete', 'nightly'],
    ['set', 'nightly', '--name', 'other'],
  ]) {
    const refused = await daemon.basaltctl('backup', ...words);
    expect(refused).toMatchObject({ status: 64, stdout: '' });
    expect(refused.stderr).toContain(`2 have that name: ${whole.id} (available, made `);
    expect(refused.stderr).toContain(`${failed.id} (error, made `);
  }
  expect((await daemon.basaltctl('backup', 'delete', failed.id)).status).toBe(0);
  expect((await daemon.basaltctl('backup', 'delete', 'nightly')).status).toBe(0);
});

test('of several that are whole none is guessed: the newest are listed, for people and for programs', async () => {
  const { daemon, called } = await world();
  const made: string[] = [];
  for (let count = 0; count < 6; count += 1) made.push((await called('nightly')).id);
  const target = join(daemon.folder, 'out.img');
  const refused = await daemon.basaltctl('backup', 'restore', 'nightly', target, '-f', 'json');
  expect([refused.status, refused.stdout, existsSync(target)]).toEqual([64, '', false]);
  const { error } = JSON.parse(refused.stderr) as {
    error: { code: string; message: string; details: { candidates: { id: string; status: string }[] } };
  };
  expect(error.code).toBe('AMBIGUOUS_NAME');
  expect(error.details.candidates.map(({ id }) => id)).toEqual(made.slice(1).reverse());
  expect(error.message).toMatch(/6 have that name: .*, and 1 older ones$/);
});
