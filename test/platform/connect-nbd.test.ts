/** The connector of NBD, on real servers (qemu-nbd) and with each of the programs that can show an export as a file. */

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { MiB } from '../../daemon/base/bytes.ts';
import { readMountTable } from '../../daemon/base/mount-table.ts';
import { bridgeShape } from '../../daemon/devices/connect/bridge/bridge.ts';
import type { Attached, Built, Connection } from '../../daemon/devices/connect/connector.ts';
import { nbdConnector } from '../../daemon/devices/connect/nbd/nbd.ts';
import { openSource } from '../../daemon/devices/source.ts';
import { native } from '../../native/native.ts';
import { heldBelow } from '../support/attached-world.ts';
import { contextForTest, installed, type TestContext, toolsWithout } from '../support/connect.ts';
import { eventually } from '../support/daemon.ts';
import {
  codeOf,
  faultOf,
  folderForTest,
  pattern,
  readFully,
  runsOf,
  sparseFile,
  writeFully,
} from '../support/devices.ts';
import { serveNbd, serveNbdAt } from '../support/nbd-server.ts';

const nbd = nbdConnector({ everyMs: 200, limitMs: 2500 });
const sizeBytes = 8 * MiB;
const programs = ['nbdfuse', 'qemu-storage-daemon'] as const;

function imageForTest(): string {
  const image = sparseFile(sizeBytes);
  const fd = openSync(image, 'r+');
  writeFully(fd, pattern(MiB), 3 * MiB);
  closeSync(fd);
  return image;
}

/** What the attachment may have left: mounts, processes, files. */
async function leftOf({ folder }: TestContext): Promise<string[]> {
  const mounts = (await readMountTable()).filter(({ directory }) => directory.startsWith(folder));
  return [...mounts.map(({ directory }) => `mount ${directory}`), ...heldBelow(folder)];
}

async function attachFor(context: TestContext, url: string): Promise<Attached & { connection: Connection }> {
  const connection = nbd.parseUrl(url);
  onTestFinished(() => detachAll(context, connection));
  return { ...(await nbd.attach(connection, context)), connection };
}

const detachAll = (context: TestContext, connection: Connection): Promise<void> =>
  nbd.detach(connection, context.journaled.at(-1) ?? {}, context);

const readError = async (path: string): Promise<string> => {
  const file = await open(path, 'r');
  try {
    await file.read(Buffer.alloc(4096), 0, 4096, 5 * MiB);
    return 'none';
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown);
  } finally {
    await file.close().catch(() => undefined);
  }
};

function overwrite(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    writeFully(fd, pattern(4096), 0);
  } finally {
    closeSync(fd);
  }
}

describe.each(programs.filter(installed))('with %s', (program) => {
  const tools = toolsWithout(...programs.filter((other) => other !== program));

  test('a source is read as its server has it, can not be written to, and is gone after detach', async () => {
    const image = imageForTest();
    const server = await serveNbd(image);
    const context = contextForTest({ tools });
    const { connection, ...attached } = await attachFor(context, server.url);
    expect(attached).toMatchObject({ number: null, map: null, identity: { names: [], sizeBytes } });
    expect(attached.paths.map(({ via, state }) => `${state} ${via}`)).toEqual([`active ${server.url}`]);
    expect(() => overwrite(attached.device)).toThrow(/EACCES|EROFS|EPERM/);

    const source = await openSource({ native }, attached.device, { force: false });
    expect(readFully(source.fd, sizeBytes).equals(readFileSync(image))).toBe(true);
    const holes = [`hole 0+${3 * MiB}`, `data ${3 * MiB}+${MiB}`, `hole ${4 * MiB}+${4 * MiB}`];
    expect(await runsOf(source)).toEqual(program === 'nbdfuse' ? [`data 0+${sizeBytes}`] : holes);
    expect(await codeOf(nbd.detach(connection, attached.built, context))).toBe('DEVICE_BUSY');
    expect((await nbd.observe(connection, attached.built, context)).identity.sizeBytes).toBe(sizeBytes);
    await source.close();

    await nbd.detach(connection, attached.built, context);
    await nbd.detach(connection, attached.built, context);
    expect(await leftOf(context)).toEqual([]);
    expect(await codeOf(nbd.observe(connection, attached.built, context))).toBe('DEVICE_FAILED');
  });

  test('what is written to a target is at its server once it is synced', async () => {
    const image = imageForTest();
    const server = await serveNbd(image);
    const context = contextForTest({ tools, access: 'write' });
    const { device } = await attachFor(context, server.url);
    const file = await open(device, 'r+');
    await file.write(pattern(MiB, 7), 0, MiB, 6 * MiB);
    await file.sync();
    await file.close();
    expect(
      readFileSync(image)
        .subarray(6 * MiB, 7 * MiB)
        .equals(pattern(MiB, 7)),
    ).toBe(true);
  });

  test('a server that stops to answer gives an error in set time, and leaves nothing', async () => {
    const server = await serveNbd(imageForTest());
    const context = contextForTest({ tools });
    const { connection, device, built } = await attachFor(context, server.url);
    server.process.kill('SIGSTOP');
    const startedAtMs = performance.now();
    expect(await readError(device)).toBe('ENOTCONN');
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    expect((await faultOf(nbd.observe(connection, built, context))).message).toMatch(/has ended/);
    await nbd.detach(connection, built, context);
    expect(await leftOf(context)).toEqual([]);
  });

  test('a server that dies gives an error at once, and leaves nothing', async () => {
    const server = await serveNbd(imageForTest());
    const context = contextForTest({ tools });
    const { connection, device, built } = await attachFor(context, server.url);
    await server.kill();
    expect(await readError(device)).toMatch(/^(EIO|ENOTCONN|ECONNABORTED)$/);
    expect(await codeOf(nbd.observe(connection, built, context))).toMatch(/DEVICE_FAILED|ATTACH_FAILED/);
    await nbd.detach(connection, built, context);
    expect(await leftOf(context)).toEqual([]);
  });

  test.each([1, 2])(
    'an attach that ends at entry %i of its journal is undone from the entry before',
    async (at) => {
      const server = await serveNbd(imageForTest());
      const beforeJournal = (number: number) => {
        if (number === at) throw new Error('the journal is full');
      };
      const context = contextForTest({ tools, beforeJournal });
      const connection = nbd.parseUrl(server.url);
      await expect(nbd.attach(connection, context)).rejects.toThrow('the journal is full');
      await detachAll(context, connection);
      expect(await leftOf(context)).toEqual([]);
    },
  );

  test('a program that was killed, and one number of a process used by another, are cleared away and left alone', async () => {
    const server = await serveNbd(imageForTest());
    const context = contextForTest({ tools });
    const { connection, built } = await attachFor(context, server.url);
    const { bridge } = z.object({ bridge: bridgeShape }).parse(built);
    process.kill(bridge.process?.pid ?? 0, 'SIGKILL');
    // The same number, started at another time: this very test.
    const reused: Built = { bridge: { ...bridge, process: { pid: process.pid, startedAt: '1' } } };
    await nbd.detach(connection, reused, context);
    // The one that was killed takes its time where the host is busy.
    await eventually('nothing is left', async () => (await leftOf(context)).length === 0);
  });

  test('an export that has grown shows its new size after a rescan', async () => {
    const image = imageForTest();
    const server = await serveNbd(image);
    const context = contextForTest({ tools });
    const { connection, built } = await attachFor(context, server.url);
    expect((await nbd.rescan(connection, built, context)).built).toEqual(built);
    await server.kill();
    execFileSync('truncate', ['-s', String(2 * sizeBytes), image]);
    await serveNbdAt(server.socket, image);
    const rescanned = await nbd.rescan(connection, built, context);
    expect(rescanned.identity.sizeBytes).toBe(2 * sizeBytes);
    expect(readFully(openForTest(rescanned.device), 4096, 3 * MiB)).toEqual(pattern(4096));
  });
});

function openForTest(path: string): number {
  const fd = openSync(path, 'r');
  onTestFinished(() => closeSync(fd));
  return fd;
}

describe('what can not be attached says why, and leaves nothing', () => {
  const attachFault = async (url: string, options: Parameters<typeof contextForTest>[0] = {}) => {
    const context = contextForTest(options);
    const connection = nbd.parseUrl(url);
    const { code, message } = await faultOf(nbd.attach(connection, context));
    await detachAll(context, connection);
    expect(await leftOf(context)).toEqual([]);
    return `${code}: ${message}`;
  };

  test('no server, no such export, one that only reads', async () => {
    const missing = join(folderForTest(), 'none');
    expect(await attachFault(`nbd+unix:///disk?socket=${missing}`)).toMatch(/^ATTACH_FAILED.*No such file/);
    const server = await serveNbd(imageForTest(), '-r');
    const url = `nbd+unix:///other?socket=${server.socket}`;
    expect(await attachFault(url)).toMatch(/^ATTACH_FAILED.*has no such export/);
    expect(await attachFault(server.url, { access: 'write' })).toMatch(/^ATTACH_FAILED.*nobody write/);
    expect(await attachFault(server.url, { tools: toolsWithout(...programs) })).toMatch(/^TOOL_MISSING/);
  });

  test('a server that never says a word', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void silent.close());
    const address = silent.address();
    if (typeof address !== 'object' || address === null) throw new Error('no port');
    const said = await attachFault(`nbd://127.0.0.1:${address.port}/disk`, { timeoutMs: 700 });
    expect(said).toMatch(/^ATTACH_FAILED.*does not answer within 0.7 s/);
  });
});
