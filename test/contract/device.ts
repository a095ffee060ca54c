/** What holds for every kind of device: a new kind adds a file that calls this with a way to make one. */

import { closeSync, openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MiB } from '../../daemon/base/bytes.ts';
import { describeDevice } from '../../daemon/devices/describe.ts';
import { openSource } from '../../daemon/devices/source.ts';
import { openTarget } from '../../daemon/devices/target.ts';
import { native } from '../../native/native.ts';
import { codeOf, pattern, readFully, runsOf, writeFully } from '../support/devices.ts';

export const contractBytes = 8 * MiB;
const parts = { native };

export interface DeviceUnderTest {
  readonly url: string;
  readonly path: string;
}

function fill(device: DeviceUnderTest, bytes: Uint8Array, position: number): void {
  const fd = openSync(device.path, 'r+');
  writeFully(fd, bytes, position);
  closeSync(fd);
}

function contentOf(device: DeviceUnderTest): Buffer {
  const fd = openSync(device.path, 'r');
  const bytes = readFully(fd, contractBytes);
  closeSync(fd);
  return bytes;
}

const restoreTo = (device: DeviceUnderTest, sizeBytes = contractBytes, force = true) =>
  openTarget(parts, device.url, { sizeBytes, force });

/** `make` gives a device of `contractBytes` bytes, all zeros, that nobody uses. */
export function deviceContract(name: string, make: () => DeviceUnderTest): void {
  describe(name, () => {
    readingContract(make);
    writingContract(make);
  });
}

function readingContract(make: () => DeviceUnderTest): void {
  test('a source that nobody uses says its full URL, its size and no uses', async () => {
    const device = make();
    const source = await openSource(parts, device.path, { force: false });
    expect(source).toMatchObject({ url: device.url, sizeBytes: contractBytes, usedBy: [] });
    await source.checkUnchanged();
    await source.close();
    expect(await describeDevice(device.path)).toMatchObject({ url: device.url, sizeBytes: contractBytes });
  });

  test('the runs of a source leave out nothing that holds data', async () => {
    const device = make();
    const bytes = pattern(100_000);
    fill(device, bytes, 3 * MiB + 777);
    const source = await openSource(parts, device.url, { force: false });
    await runsOf(source);
    const seen = Buffer.alloc(contractBytes);
    for await (const extent of source.extents()) {
      if (extent.data) readFully(source.fd, extent.length, extent.offset).copy(seen, extent.offset);
    }
    await source.close();
    expect(seen.equals(contentOf(device))).toBe(true);
    expect(seen.subarray(3 * MiB + 777).indexOf(bytes)).toBe(0);
  });

  test('a source can be opened twice, and each is closed by itself', async () => {
    const device = make();
    const first = await openSource(parts, device.url, { force: false });
    const second = await openSource(parts, device.url, { force: false });
    await first.close();
    await first.close();
    expect(readFully(second.fd, 512)).toEqual(Buffer.alloc(512));
    await second.close();
  });
}

function writingContract(make: () => DeviceUnderTest): void {
  test('what is written to a target and committed is what a source reads afterwards', async () => {
    const device = make();
    const target = await restoreTo(device);
    const bytes = pattern(70_001);
    writeFully(target.fd, bytes, MiB - 5);
    await target.commit();
    await target.abort();
    const source = await openSource(parts, device.url, { force: false });
    expect(readFully(source.fd, bytes.length, MiB - 5).equals(bytes)).toBe(true);
    await source.close();
  });

  test('an existing target is refused without force, and one that is too small with it, and neither is touched', async () => {
    const device = make();
    fill(device, pattern(4096), 0);
    const before = contentOf(device);
    expect(await codeOf(restoreTo(device, contractBytes, false))).toBe('TARGET_EXISTS');
    expect(await codeOf(restoreTo(device, contractBytes + 1))).toBe('TARGET_TOO_SMALL');
    expect(contentOf(device).equals(before)).toBe(true);
  });

  test('a target larger than the backup is taken, and says that it may hold other bytes', async () => {
    const target = await restoreTo(make(), MiB);
    expect(target).toMatchObject({ sizeBytes: contractBytes, blank: false });
    await target.abort();
  });

  test('two restores to one target at once: the second is refused until the first has ended', async () => {
    const device = make();
    const first = await restoreTo(device);
    expect(await codeOf(restoreTo(device))).toBe('TARGET_BUSY');
    await first.abort();
    await (await restoreTo(device)).commit();
  });

  test('a restore and a backup never meet on one device, forced or not', async () => {
    const device = make();
    const target = await restoreTo(device);
    expect(await codeOf(openSource(parts, device.url, { force: true }))).toBe('SOURCE_BUSY');
    await target.commit();
    const source = await openSource(parts, device.url, { force: false });
    expect(await codeOf(restoreTo(device))).toBe('TARGET_BUSY');
    await source.close();
    await (await restoreTo(device)).abort();
  });

  test.each([
    ['whole sectors', 64 * 1024, 2 * MiB],
    ['an unaligned range over many sectors', 4096 + 100, 3 * MiB + 333],
    ['less than a sector', 1000, 7],
    ['a range across the edge of two sectors', 510, 4],
    ['the very end', contractBytes - 1001, 1001],
    ['nothing', 5000, 0],
  ])('zeroing %s leaves zeros there and everything else as it was', async (_name, position, length) => {
    const device = make();
    const bytes = pattern(contractBytes);
    fill(device, bytes, 0);
    const target = await restoreTo(device);
    expect(['punched', 'zeroed', 'written']).toContain(await native.zeroRange(target.fd, position, length));
    await target.commit();
    bytes.fill(0, position, position + length);
    expect(contentOf(device).equals(bytes)).toBe(true);
  });
}
