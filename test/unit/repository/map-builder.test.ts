import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fanout } from '../../../daemon/base/limits.ts';
import { MapBuilder } from '../../../daemon/repository/native/map-builder.ts';

const blockBytes = 16384;
const leafBytes = fanout * blockBytes;
const leaves = 100;

test('a builder that seals slower than segments come waits for pages, never for a segment that waits for it', async () => {
  let [open, most] = [0, 0];
  const builder = new MapBuilder(leaves * leafBytes, blockBytes, async () => {
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    open -= 1;
    return new Uint8Array(32).fill(1);
  });
  for (let leaf = 0; leaf < leaves; leaf += 1) {
    const place = builder.place(leaf * leafBytes, 1);
    open += 1;
    most = Math.max(most, open);
    place.addresses.fill(1);
    place.done();
    await builder.keepUp();
  }
  await builder.finish();
  expect(most).toBeLessThan(40);
});

test('a page that can not be sealed fails whoever waits for it, and the end', async () => {
  const builder = new MapBuilder(leaves * leafBytes, blockBytes, async () => {
    throw new Error('planted');
  });
  const waits: Promise<void>[] = [];
  for (let leaf = 0; leaf < leaves; leaf += 1) {
    builder.place(leaf * leafBytes, 1).done();
    if (leaf > 40) waits.push(builder.keepUp());
  }
  for (const wait of waits) await expect(wait).rejects.toThrow('planted');
  await expect(builder.finish()).rejects.toThrow('planted');
});

test('taken up from its state at any segment, a map has the same root as in one go', async () => {
  const blockBytes = 16384;
  const segmentBlocks = 64;
  const sizeBytes = blockBytes * 512 * 600;
  const seal = async (page: Uint8Array) => createHash('sha256').update(page).digest();
  const fill = (builder: MapBuilder, segment: number) => {
    const place = builder.place(segment * segmentBlocks * blockBytes, segmentBlocks);
    place.addresses.fill((segment % 255) + 1);
    place.done();
  };
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(4700), { minLength: 1, maxLength: 60 }),
      fc.nat(59),
      async (chosen, at) => {
        const segments = chosen.sort((a, b) => a - b);
        const whole = new MapBuilder(sizeBytes, blockBytes, seal);
        for (const segment of segments) fill(whole, segment);
        const first = new MapBuilder(sizeBytes, blockBytes, seal);
        for (const segment of segments.slice(0, at)) fill(first, segment);
        const pages = await first.state();
        expect(pages.length).toBeLessThanOrEqual(first.height);
        const second = new MapBuilder(sizeBytes, blockBytes, seal, pages);
        for (const segment of segments.slice(at)) fill(second, segment);
        expect(await second.finish()).toEqual(await whole.finish());
      },
    ),
  );
});
