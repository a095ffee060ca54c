import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { PackWriter } from '../../../daemon/repository/native/pack-writer.ts';
import type { NativeParts } from '../../../daemon/repository/native/parts.ts';
import type { Storage, Upload } from '../../../daemon/storage/storage.ts';
import { codeOf } from '../../support/devices.ts';

const entry = new Uint8Array(48);

/** A writer over a storage that counts, and memory that shows what was put there. */
function writer() {
  const written: number[] = [];
  const upload: Upload = {
    write: (position) => Promise.resolve(void written.push(position)),
    commit: () => Promise.resolve(),
    abort: () => Promise.resolve(),
  };
  const storage = { url: 'file:///there', upload: () => Promise.resolve(upload) } as Partial<Storage>;
  const index = { addPack: () => Promise.resolve(), release: () => undefined };
  const hash = () => Buffer.alloc(32);
  const memory = new Uint8Array(2 * 4096);
  const parts = { storage, index, hash } as unknown as NativeParts;
  return { packs: new PackWriter(parts, memory), memory, written };
}

test('what a source gives after the repository was closed goes nowhere, and its memory is in use until then', async () => {
  const { packs, memory, written } = writer();
  let answer: () => void = () => undefined;
  const source = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const late = packs.claiming(async (claims) => {
    await source;
    claims[0] = 1;
    await packs.append(new Uint8Array(100).fill(7), entry);
  });
  let isIdle = false;
  const idle = packs.close().then(() => {
    isIdle = true;
  });
  // Nothing was claimed: a flush does not wait for a source that may never answer.
  await packs.flush();
  await turn();
  expect(isIdle).toBe(false);
  answer();
  expect(await codeOf(late)).toBe('CANCELLED');
  await idle;
  expect(memory.every((byte) => byte === 0)).toBe(true);
  expect(written).toEqual([]);
});

test('what was taken over before a close is stored by the flush that follows', async () => {
  const { packs, written } = writer();
  await packs.claiming(async (claims) => {
    claims[0] = 1;
    await packs.append(new Uint8Array(100).fill(7), entry);
  });
  const idle = packs.close();
  await packs.flush();
  await idle;
  expect(written).toEqual([0]);
  expect(packs.failures).toBe(0);
});
