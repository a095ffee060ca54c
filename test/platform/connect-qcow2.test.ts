/** Images of QEMU in a folder that somebody else fills: which are shown, which are refused. Made by the real qemu-img. */

import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { bridgeShape, closeBridge, openBridge } from '../../daemon/devices/connect/bridge/bridge.ts';
import { checkImageLock } from '../../daemon/devices/connect/nfs/image-lock.ts';
import { readChain } from '../../daemon/devices/connect/qcow2/chain.ts';
import { native } from '../../native/native.ts';
import { contextForTest, installed, toolsWithout } from '../support/connect.ts';
import { faultOf, folderForTest, pattern, readFully, run, writeFully } from '../support/devices.ts';
import { serveNbd } from '../support/nbd-server.ts';
import { firstDifference } from '../support/volume-model.ts';

const sizeBytes = 8 * MiB;

/** A folder with "base" (raw), and "top" (qcow2) over it, each with bytes of its own. */
function chainForTest(): string {
  const folder = folderForTest();
  const raw = join(folder, 'base');
  writeFileSync(raw, pattern(MiB, 1));
  truncateSync(raw, sizeBytes);
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', 'base', join(folder, 'top'));
  run('qemu-io', '-f', 'qcow2', '-c', 'write -q -P 7 4M 64k', join(folder, 'top'));
  return folder;
}

/** Makes the extension that says the format of the backing file one that nobody knows. */
function forgetFormat(image: string): void {
  const bytes = readFileSync(image);
  const at = bytes.indexOf(Buffer.from('e2792aca', 'hex'));
  if (at < 0) throw new Error('there is no format to forget');
  bytes.writeUInt32BE(0x1234, at);
  writeFileSync(image, bytes);
}

const why = async (folder: string, name: string): Promise<string> => {
  const image = await readChain(folder, name);
  return typeof image === 'string' ? image : `fine: ${image.sizeBytes}`;
};

describe.each(['nbdfuse', 'qemu-storage-daemon'].filter(installed))('with %s', (program) => {
  const others = ['nbdfuse', 'qemu-storage-daemon'].filter((other) => other !== program);
  const tools = toolsWithout(...others);

  test('a chain is shown as the volume that it is', async () => {
    const folder = chainForTest();
    const image = await readChain(folder, 'top');
    if (typeof image === 'string') throw new Error(image);
    const context = contextForTest({ tools });
    const journal = (bridge: unknown) => context.journal({ bridge: bridgeShape.parse(bridge) });
    const source = { node: image.node, writable: false };
    const shown = await openBridge({ what: 'top', source, context, journal });
    onTestFinished(() => closeBridge('top', shown, context));
    expect(shown.sizeBytes).toBe(sizeBytes);
    const fd = openSync(shown.file, 'r');
    const whole = readFully(fd, sizeBytes);
    closeSync(fd);
    const expected = Buffer.alloc(sizeBytes);
    pattern(MiB, 1).copy(expected);
    expected.fill(7, 4 * MiB, 4 * MiB + 64 * KiB);
    expect(whole.equals(expected)).toBe(true);
  });

  test('what is written and what is zeroed is in the image afterwards', async () => {
    const folder = folderForTest();
    const [raw, path] = [join(folder, 'raw'), join(folder, 'image')];
    const bytes = pattern(sizeBytes, 3);
    writeFileSync(raw, bytes);
    run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, path);
    const image = await readChain(folder, 'image');
    if (typeof image === 'string') throw new Error(image);
    const context = contextForTest({ tools, access: 'write' });
    const journal = (bridge: unknown) => context.journal({ bridge: bridgeShape.parse(bridge) });
    const source = { node: image.node, writable: true };
    const shown = await openBridge({ what: 'image', source, context, journal });
    onTestFinished(() => closeBridge('image', shown, context));
    const fd = openSync(shown.file, 'r+');
    await native.zeroRange(fd, MiB + 512, 3 * MiB);
    const block = Buffer.concat([pattern(64 * KiB, 5), Buffer.alloc(64 * KiB)]);
    const where = { fd, directFd: -1, position: 6 * MiB, blockBytes: 64 * KiB };
    await native.write({ ...where, data: block, zeros: 'punch' });
    await native.sync(fd);
    closeSync(fd);
    await closeBridge('image', shown, context);
    bytes.fill(0, MiB + 512, 4 * MiB + 512);
    block.copy(bytes, 6 * MiB);
    run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, raw);
    expect(firstDifference(readFileSync(raw), bytes)).toBe(-1);
  });
});

test('an image that leads out of its folder, or leaves a format to be guessed, is refused before QEMU opens it', async () => {
  const folder = chainForTest();
  const outside = join(folderForTest(), 'secret');
  writeFileSync(outside, pattern(MiB));
  const make = (name: string, ...words: string[]): void =>
    void run('qemu-img', 'create', '-q', '-f', 'qcow2', '-u', ...words, join(folder, name), '1M');
  make('absolute', '-b', outside, '-F', 'raw');
  make('upwards', '-b', '../secret', '-F', 'raw');
  make('json', '-b', `json:{"driver":"file","filename":"${outside}"}`, '-F', 'raw');
  make('network', '-b', 'nbd://10.0.0.1/x', '-F', 'raw');
  make('guessed', '-b', 'base', '-F', 'raw');
  forgetFormat(join(folder, 'guessed'));
  make('other', '-b', 'base', '-F', 'vmdk');
  make('missing', '-b', 'nothing', '-F', 'raw');
  make('data', '-o', `data_file=${join(folder, 'elsewhere')},data_file_raw=on`);
  make('circle', '-b', 'circle', '-F', 'qcow2');
  symlinkSync(outside, join(folder, 'link'));
  make('over-link', '-b', 'link', '-F', 'raw');
  expect(await why(folder, 'absolute')).toMatch(/lies outside of its share/);
  expect(await why(folder, 'upwards')).toMatch(/lies outside of its share/);
  expect(await why(folder, 'json')).toMatch(/not named plainly/);
  expect(await why(folder, 'network')).toMatch(/not named plainly/);
  expect(await why(folder, 'guessed')).toMatch(/does not say the format/);
  expect(await why(folder, 'other')).toMatch(/does not say the format/);
  expect(await why(folder, 'missing')).toMatch(/there is no file "nothing"/);
  expect(await why(folder, 'data')).toMatch(/data lie in another file/);
  expect(await why(folder, 'circle')).toMatch(/more than 64 files/);
  expect(await why(folder, 'over-link')).toMatch(/over a symbolic link/);
  expect(await why(folder, 'link')).toMatch(/over a symbolic link/);
  expect(await why(folder, '../secret')).toMatch(/steps that are no names/);
  expect(await why(folder, 'base')).toMatch(/no qcow2 image/);
  expect(await why(folder, 'top')).toBe(`fine: ${sizeBytes}`);
});

test('a folder in between that has become a link, and names with folders', async () => {
  const folder = chainForTest();
  mkdirSync(join(folder, 'sub'));
  linkSync(join(folder, 'base'), join(folder, 'sub/base'));
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', 'base', join(folder, 'sub/top'));
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', 'sub/top', join(folder, 'third'));
  expect(await why(folder, 'third')).toBe(`fine: ${sizeBytes}`);
  renameSync(join(folder, 'sub'), join(folder, 'real'));
  symlinkSync('real', join(folder, 'sub'));
  expect(await why(folder, 'third')).toMatch(/over a symbolic link/);
});

test('headers of which every byte is wrong once are refused or read, and never more than that', async () => {
  const folder = chainForTest();
  const before = Buffer.alloc(512);
  const fd = openSync(join(folder, 'top'), 'r+');
  onTestFinished(() => closeSync(fd));
  readFully(fd, 512).copy(before);
  for (let at = 0; at < 160; at += 1) {
    const changed = Buffer.from(before);
    changed[at] = (changed[at] ?? 0) ^ 0xff;
    writeFully(fd, changed, 0);
    expect(await why(folder, 'top')).toMatch(/./);
  }
  truncateSync(join(folder, 'top'), 90);
  expect(await why(folder, 'top')).toMatch(/cut off/);
});

test('an image that a program of QEMU has open is in use, whatever its format', async () => {
  const folder = chainForTest();
  const context = contextForTest();
  const path = join(folder, 'base');
  await checkImageLock('base', 'raw', path, context);
  const user = await serveNbd(path);
  const { code, message } = await faultOf(checkImageLock('base', 'raw', path, context));
  expect(`${code}: ${message}`).toMatch(/^ATTACH_FAILED.*has it open/);
  await user.kill();
  await checkImageLock('base', 'raw', path, context);
  await checkImageLock('base', 'raw', path, contextForTest({ tools: toolsWithout('qemu-img') }));
});
