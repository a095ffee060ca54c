/** The limits of the questions that are asked of devices, and the real addon on what is no SCSI device. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createProbe } from '../../../../daemon/devices/connect/probe.ts';
import { native } from '../../../../native/native.ts';

const never = (): Promise<never> => new Promise(() => undefined);
const hanging = { inquiry: never, namedSize: never, namedFlush: never, order: never };

test('a device that never answers costs no more than the limit, whatever it is asked', async () => {
  const probe = createProbe(hanging, { askMs: 30, orderMs: 40 });
  const asked = [
    probe.scsiIdentity('/dev/x'),
    probe.size('/dev/x'),
    probe.flush('/dev/x'),
    probe.order('/x', '1'),
  ];
  for (const question of await Promise.allSettled(asked)) {
    expect(question).toMatchObject({ status: 'rejected', reason: { code: 'DEVICE_FAILED' } });
  }
});

test('that the storage shows no volume any more is said in words', async () => {
  const gone = Object.assign(new Error('INQUIRY'), { code: 'NO_UNIT' });
  const probe = createProbe({ ...hanging, inquiry: () => Promise.reject(gone) });
  await expect(probe.scsiIdentity('/dev/x')).rejects.toThrow('the storage shows no volume there');
});

test('what is no SCSI device has no names, and what is no device has no size', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-probe-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'file');
  await writeFile(file, 'text');
  const probe = createProbe(native);
  expect(await probe.scsiIdentity(file)).toEqual({ names: [], serial: null });
  await expect(probe.size(file)).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
  await expect(probe.size(join(folder, 'none'))).rejects.toThrow('ENOENT');
  await probe.order(file, 'scan');
  await expect(probe.order(join(folder, 'none'), '1')).rejects.toMatchObject({ code: 'DEVICE_FAILED' });
});
