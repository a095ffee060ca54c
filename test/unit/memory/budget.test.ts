import { expect, test } from 'vitest';
import { GiB, KiB, MiB } from '../../../daemon/base/bytes.ts';
import { systemClock } from '../../../daemon/base/clock.ts';
import { Budget, type Grant } from '../../../daemon/memory/budget.ts';
import { divideMemory, regionSizes } from '../../../daemon/memory/shares.ts';

const unit = 64 * KiB;
const regionsOf = (...units: number[]) => units.map((count) => new ArrayBuffer(count * unit));
const wish = (bytesMin: number, bytesMax = bytesMin) => ({ owner: 'test', bytesMin, bytesMax });

/** The memory of a grant, whole. */
const memoryOf = (grant: Grant): Uint8Array => grant.slice(grant.bytes);

test('a grant lies in one region, and grants together are the regions', async () => {
  const regions = regionsOf(3, 2, 3);
  const budget = new Budget(regions, systemClock);
  const grants: Grant[] = [];
  for (const units of [2, 2, 2, 1, 1]) grants.push(await budget.admit(wish(units * unit)));
  expect(budget.report()).toMatchObject({ limitBytes: 8 * unit, reservedBytes: 8 * unit });
  const places = grants.map(memoryOf).map(({ buffer, byteOffset, length }) => {
    const region = regions.indexOf(buffer as ArrayBuffer);
    expect(region).toBeGreaterThanOrEqual(0);
    expect(byteOffset + length).toBeLessThanOrEqual(buffer.byteLength);
    return Array.from({ length: length / unit }, (_, i) => `${region} ${byteOffset / unit + i}`);
  });
  const taken = places.flat();
  expect(new Set(taken).size).toBe(8);
  expect(taken).toHaveLength(8);
});

test('who wants more than a region gets what is left of one, or waits for its least', async () => {
  const budget = new Budget(regionsOf(4, 4), systemClock);
  const first = await budget.admit(wish(unit, 100 * unit));
  expect(first.bytes).toBe(4 * unit);
  const second = await budget.admit(wish(3 * unit));
  let admitted = false;
  const third = budget.admit(wish(2 * unit)).then((grant) => {
    admitted = true;
    return grant;
  });
  await Promise.resolve();
  // One unit is free, and the region beside it is lent: five units free in all would be of no use either.
  expect(admitted).toBe(false);
  second.release();
  expect((await third).bytes).toBe(2 * unit);
});

test('ranges that come back become one again, but not over the end of a region', async () => {
  const budget = new Budget(regionsOf(2, 2), systemClock);
  const grants = await Promise.all([1, 1, 1, 1].map((units) => budget.admit(wish(units * unit))));
  for (const place of [2, 0, 3, 1]) grants[place]?.release();
  expect(budget.report().reservedBytes).toBe(0);
  const whole = await budget.admit(wish(2 * unit, 4 * unit));
  expect(whole.bytes).toBe(2 * unit);
  expect(memoryOf(whole)).toHaveLength(2 * unit);
  await expect(budget.admit(wish(3 * unit))).rejects.toMatchObject({ code: 'MEMORY_BUDGET' });
});

test('regions are whole MiB, about equal, at most 2 GiB, and together the limit', () => {
  for (const limit of [64 * MiB, 2 * GiB, 2 * GiB + MiB, 6 * GiB, 7 * GiB + 3 * MiB, 1024 * GiB]) {
    const sizes = regionSizes(limit);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(limit);
    expect(sizes.every((size) => size % MiB === 0 && size <= 2 * GiB)).toBe(true);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(MiB);
  }
});

test('the shares of a limit of several regions find room, each in one', async () => {
  const regions = regionSizes(6 * GiB).map((bytes) => new ArrayBuffer(bytes / 32));
  const shares = await divideMemory(regions, systemClock, 15, true);
  expect(shares.budget.report().limitBytes).toBe((6 * GiB) / 32);
  const lent = [shares.viewCache, shares.viewScratch, ...Object.values(shares.repository)];
  for (const { buffer } of lent as Uint8Array[]) expect(regions).toContain(buffer);
});
