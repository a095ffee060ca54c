/** Reading around bad sectors, on devices that fail as a test says. */

import { expect, test } from 'vitest';
import type { Source } from '../../../daemon/devices/device.ts';
import { Unreadable } from '../../../daemon/pipeline/unreadable.ts';
import type { ManifestFields } from '../../../daemon/repository/repository.ts';

const sectorBytes = 512;
const size = 2 ** 20;

class Errno extends Error {
  readonly code: string;
  readonly errno = 5;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

type Reading = { position: number; length: number; input: Uint8Array };

/** A device full of ones; `fails` says by the sector, and how often it was read before, whether a read of it fails. */
function deviceWhere(fails: (sector: number, before: number) => boolean, skipErrors = true) {
  const reads = new Map<number, number>();
  const addresses = ({ position, length, input }: Reading) => {
    let failed = false;
    for (let sector = position / sectorBytes; sector < (position + length) / sectorBytes; sector += 1) {
      const before = reads.get(sector) ?? 0;
      reads.set(sector, before + 1);
      failed ||= fails(sector, before);
    }
    if (failed) return Promise.reject(new Errno('EIO'));
    input.fill(1, 0, length);
    return Promise.resolve();
  };
  const blockDevice = () => Promise.resolve({ sizeBytes: size, sectorBytes, readOnly: false });
  const source = { url: 'block:///dev/bad', sizeBytes: size } as Source;
  const { signal } = new AbortController();
  const descriptors = { fd: 3, directFd: 4 };
  return new Unreadable({ source, native: { addresses, blockDevice }, descriptors, signal, skipErrors });
}

const fields = { consistency: 'clean' } as ManifestFields;
const foundBy = (unreadable: Unreadable) => unreadable.mark(fields).evidence?.unreadable;

test('a segment that can be read after all leaves no mark', async () => {
  const unreadable = deviceWhere((sector, before) => sector === 7 && before < 2, false);
  const input = new Uint8Array(size);
  await unreadable.recover(new Errno('EIO'), 0, size, input);
  expect(input.every((byte) => byte === 1)).toBe(true);
  expect(unreadable.mark(fields)).toBe(fields);
});

test('only what fails alone is lost, and is zeros', async () => {
  const unreadable = deviceWhere((sector) => sector === 7 || sector === 8);
  const input = new Uint8Array(size).fill(9);
  await unreadable.recover(new Errno('EIO'), 0, size, input);
  expect(foundBy(unreadable)).toEqual({
    ranges: [{ offset: 7 * sectorBytes, length: 2 * sectorBytes }],
    bytes: 1024,
    exact: true,
  });
  expect(unreadable.mark(fields).consistency).toBe('incomplete: 1024 bytes could not be read; clean');
  const zeros = input.filter((byte) => byte === 0).length;
  expect({ zeros, others: input.filter((byte) => byte === 1).length }).toEqual({
    zeros: 1024,
    others: size - 1024,
  });
});

test('more ranges than a manifest holds are joined, and told to be', async () => {
  const unreadable = deviceWhere((sector) => sector % 4 === 1);
  await unreadable.recover(new Errno('EIO'), 0, size, new Uint8Array(size));
  const found = foundBy(unreadable);
  expect(found?.exact).toBe(false);
  expect(found?.ranges).toHaveLength(256);
  const covered = (sector: number) =>
    found?.ranges.some(
      ({ offset, length }) => offset <= sector * sectorBytes && offset + length >= (sector + 1) * sectorBytes,
    );
  for (let sector = 1; sector < size / sectorBytes; sector += 4) expect(covered(sector)).toBe(true);
});

test('where nothing can be read it is the device that has failed', async () => {
  const failure = new Errno('EIO');
  const unreadable = deviceWhere(() => true);
  await expect(unreadable.recover(failure, 0, size, new Uint8Array(size))).rejects.toBe(failure);
  expect(unreadable.isEmpty).toBe(true);
});

test.each(['ENODEV', 'ETIMEDOUT', 'ENOLINK'])('%s is no matter of sectors', async (code) => {
  const failure = new Errno(code);
  const unreadable = deviceWhere(() => false);
  await expect(unreadable.recover(failure, 0, size, new Uint8Array(size))).rejects.toBe(failure);
});

test('unless it is wanted, a lost sector is a fault with its range', async () => {
  const unreadable = deviceWhere((sector) => sector === 7, false);
  await expect(unreadable.recover(new Errno('EIO'), 0, size, new Uint8Array(size))).rejects.toMatchObject({
    code: 'SOURCE_READ_FAILED',
    message: expect.stringContaining('at bytes 3584 to 4095: the device reports an input/output error'),
    details: { unreadable: [{ offset: 3584, length: 512 }], unreadable_bytes: 512 },
  });
});
