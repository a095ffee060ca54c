/** Random operations on a volume and its backups, each compared with a model that can't be wrong. One daemon and one repository
 *  serve all runs, so that blocks are shared, packs grow old, and the catalog is lost now and then.
 *  BASALT_PROPERTY_RUNS: how many sequences; BASALT_PROPERTY_SEED: the seed of an earlier run. */

import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { type Operation, VolumeModel, volumeBytesMax } from '../support/volume-model.ts';

const runs = Number(process.env['BASALT_PROPERTY_RUNS'] ?? 40);
const seed = Number(process.env['BASALT_PROPERTY_SEED'] ?? Date.now() % 2 ** 31);

let daemon: Daemon;
beforeAll(async () => {
  daemon = await Daemon.start({ memoryLimit: '64MiB' });
});
afterAll(() => daemon.dispose());

/** Places and lengths meet the edges of blocks, segments and slots far more often than chance would. */
const edge = fc
  .tuple(fc.constantFrom(4096, 65536, 2 ** 18, 2 ** 20), fc.nat(24), fc.constantFrom(0, 0, 1, -1, 511))
  .map(([unit, times, beside]) => Math.max(0, unit * times + beside));
const place = fc.oneof(fc.nat(volumeBytesMax), edge);
const length = fc.oneof(fc.nat(300_000), edge, fc.nat(4 * 2 ** 20));
const which = fc.nat(30);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write'),
      at: place,
      length,
      content: fc.constantFrom('random', 'random', 'text', 'zeros', 'copy'),
      seed: fc.nat(50),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('punch'), at: place, length }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('resize'), size: place }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('backup'),
      incremental: fc.boolean(),
      hinted: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete'), which }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('restore'),
      which,
      how: fc.constantFrom('new', 'file', 'loop'),
      differential: fc.boolean(),
      tail: fc.oneof(fc.constant(0), fc.nat(2_000_000)),
      seed: fc.nat(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('view'), which, at: place, length }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('diff'), which, other: which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('verify'), which }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('restart'),
      how: fc.constantFrom('stop', 'kill', 'lose catalog'),
    }),
  },
);

test('every backup gives back the bytes of its moment, whatever was done before and after', async () => {
  let number = 0;
  process.stdout.write(`model: seed ${seed}, ${runs} runs\n`);
  const sequence = fc.array(operation, { minLength: 8, maxLength: 40, size: 'max' });
  await fc.assert(
    fc.asyncProperty(place, sequence, async (sizeBytes, operations) => {
      number += 1;
      const model = new VolumeModel(daemon, `volume-${number}`, Math.min(sizeBytes, volumeBytesMax));
      await model.begin();
      for (const next of operations) await model.apply(next);
      await model.end();
    }),
    { seed, numRuns: runs, interruptAfterTimeLimit: 200_000 * Math.max(1, runs / 40) },
  );
  const check = await daemon.done(daemon.call('repository.check', { read_data: true }));
  expect(check.result).toMatchObject({ damaged_backups_count: 0, damaged_manifests: [], damaged_packs: [] });
});
