/** Shares of NFS that are mounted already, hold links, die or are silent; and the daemon with volumes in one. */

import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../../daemon/base/bytes.ts';
import { readMountTable } from '../../../daemon/base/mount-table.ts';
import { contextForTest } from '../../support/connect.ts';
import { eventually } from '../../support/daemon.ts';
import { faultOf, folderForTest, pattern, run } from '../../support/devices.ts';
import { daemonForTest } from '../../support/fault-world.ts';
import { firstDifference } from '../../support/volume-model.ts';
import { nfsServer } from '../support/nfs.ts';
import { attachFor, mountsIn, nfs, urlOf, volume } from '../support/nfs-volumes.ts';

test('a share that is mounted already is left as it is, even when its server is silent', async () => {
  const server = await nfsServer();
  const bytes = volume(server, 'volume-1');
  const [own, silent] = [folderForTest(), await nfsServer()];
  volume(silent, 'volume-1', 9);
  // Of another server under the same name: only its port tells them apart.
  run('mount', '-t', 'nfs', '-o', `vers=4.2,port=${silent.port},soft`, '127.0.0.1:/volumes', own);
  onTestFinished(() => void run('umount', '--lazy', own));
  const context = contextForTest();
  const { device, detach } = await attachFor(context, urlOf(server, 'volume-1'));
  expect(firstDifference(readFileSync(device), bytes)).toBe(-1);
  await detach();
  const second = contextForTest();
  const attached = await attachFor(second, urlOf(silent, 'volume-1'));
  const others = await open(join(own, 'volume-1'), 'r');
  silent.process.kill('SIGSTOP');
  const read = others.read(Buffer.alloc(4096), 0, 4096, 2 * MiB);
  await eventually('it is taken away', async () => (await mountsIn(second.folder)).length === 0, 30_000);
  silent.process.kill('SIGCONT');
  expect((await read).bytesRead).toBe(4096);
  await others.close();
  await attached.detach();
  expect(await mountsIn(own)).toEqual([own]);
});

test('a link that leads out of the share is not followed', async () => {
  const server = await nfsServer();
  const secret = join(folderForTest(), 'secret');
  writeFileSync(secret, pattern(4096));
  volume(server, 'volume-1');
  symlinkSync(secret, join(server.folder, 'link'));
  const context = contextForTest();
  const { message } = await faultOf(attachFor(context, urlOf(server, 'link')));
  expect(message).toMatch(/over a symbolic link/);
  const { device, detach } = await attachFor(contextForTest(), urlOf(server, 'volume-1'));
  // Somebody puts it there after it was looked at.
  rmSync(join(server.folder, 'volume-1'));
  symlinkSync(secret, join(server.folder, 'volume-1'));
  run('sleep', '1');
  expect(() => readFileSync(device)).toThrow(/ELOOP|ESTALE|ENOENT/);
  await detach();
});

test('a server that stops to answer gives an error in set time, and the share is let go of', async () => {
  const server = await nfsServer();
  volume(server, 'volume-1');
  const context = contextForTest();
  const { device, detach } = await attachFor(context, urlOf(server, 'volume-1'));
  const file = await open(device, 'r');
  server.process.kill('SIGSTOP');
  const startedAtMs = performance.now();
  await expect(file.read(Buffer.alloc(4096), 0, 4096, 2 * MiB)).rejects.toThrow();
  expect(performance.now() - startedAtMs).toBeLessThan(20_000);
  await file.close().catch(() => undefined);
  await detach();
  expect(performance.now() - startedAtMs).toBeLessThan(40_000);
  expect(await mountsIn(context.folder)).toEqual([]);
});

test('no server, no such share, no such file: each is said, and nothing is left', async () => {
  const server = await nfsServer();
  const whyNot = async (url: string): Promise<string> => {
    const context = contextForTest();
    const { code, message } = await faultOf(attachFor(context, url));
    await nfs.detach(nfs.parseUrl(url), context.journaled.at(-1) ?? {}, context);
    expect(await mountsIn(context.folder)).toEqual([]);
    return `${code}: ${message}`;
  };
  expect(await whyNot(urlOf(server, 'nothing'))).toMatch(/^ATTACH_FAILED.*there is no file "nothing"/);
  expect(await whyNot(`nfs://127.0.0.1/elsewhere/v?options=port=${server.port}`)).toMatch(
    /^ATTACH_FAILED.*No such file/,
  );
  expect(await whyNot('nfs://127.0.0.1/volumes/v?options=port=9')).toMatch(/^ATTACH_FAILED.*refused/);
});

test('a volume in a share is backed up by the daemon, and restored onto another file of it', async () => {
  const server = await nfsServer();
  const bytes = volume(server, 'volume-1', 5);
  volume(server, 'volume-2', 6);
  const daemon = await daemonForTest();
  await daemon.addVolume('v', urlOf(server, 'volume-1'));
  const { id } = await daemon.backUp('v');
  await daemon.done(
    daemon.call('backup.restore', { backup: id, target: urlOf(server, 'volume-2'), force: true }),
  );
  expect(firstDifference(readFileSync(join(server.folder, 'volume-2')), bytes)).toBe(-1);
  expect((await readMountTable()).filter(({ type }) => type === 'nfs4')).toEqual([]);
});
