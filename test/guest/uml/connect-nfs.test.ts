/** Files in a share of NFS, with the client of a real kernel and a real server. */

import { closeSync, existsSync, openSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';

import { join } from 'node:path';
import { expect, test } from 'vitest';

import { contextForTest } from '../../support/connect.ts';
import { codeOf, folderForTest, readFully, run } from '../../support/devices.ts';

import { firstDifference, noise } from '../../support/volume-model.ts';
import { nfsServer } from '../support/nfs.ts';
import { attachFor, mountsIn, nfs, sizeBytes, urlOf, volume } from '../support/nfs-volumes.ts';

test('a raw file is read where it lies, can not be written to by a source, and nothing is left', async () => {
  const server = await nfsServer();
  const bytes = volume(server, 'volume-1');
  const inode = statSync(join(server.folder, 'volume-1')).ino;
  const context = contextForTest();
  const { connection, built, detach, ...attached } = await attachFor(context, urlOf(server, 'volume-1'));
  expect(attached.identity).toMatchObject({
    sizeBytes,
    names: [`nfs.127.0.0.1:${server.port}:/volumes#${inode}`],
  });
  const fd = openSync(attached.device, 'r');
  expect(firstDifference(readFully(fd, sizeBytes), bytes)).toBe(-1);
  expect(() => openSync(attached.device, 'r+')).toThrow('EROFS');
  expect(await codeOf(detach())).toBe('DEVICE_BUSY');
  closeSync(fd);

  truncateSync(join(server.folder, 'volume-1'), 2 * sizeBytes);
  expect((await nfs.rescan(connection, built, context)).identity.sizeBytes).toBe(2 * sizeBytes);
  rmSync(join(server.folder, 'volume-1'));
  writeFileSync(join(server.folder, 'other'), '');
  volume(server, 'volume-1', 2);
  expect((await nfs.observe(connection, built, context)).identity.names).not.toEqual(attached.identity.names);

  await detach();
  await detach();
  expect(await mountsIn(context.folder)).toEqual([]);
  expect(existsSync(join(context.folder, 'share'))).toBe(false);
  expect(await codeOf(nfs.observe(connection, built, context))).toBe('DEVICE_FAILED');
});

test('an image is shown as the volume that it is', async () => {
  const server = await nfsServer();
  const raw = join(folderForTest(), 'raw');
  const bytes = noise(sizeBytes, 3);
  writeFileSync(raw, bytes);
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, join(server.folder, 'volume-1'));
  const context = contextForTest();
  const { device, identity, detach } = await attachFor(context, urlOf(server, 'volume-1', '&format=qcow2'));
  expect(identity.sizeBytes).toBe(sizeBytes);
  const fd = openSync(device, 'r');
  expect(firstDifference(readFully(fd, sizeBytes), bytes)).toBe(-1);
  closeSync(fd);
  await detach();
  expect(await mountsIn(context.folder)).toEqual([]);
});
