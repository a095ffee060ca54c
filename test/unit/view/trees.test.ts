/** File systems of backups that come and go while their readers start. */

import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { ReaderPool } from '../../../daemon/view/browse/pool.ts';
import { FileTrees } from '../../../daemon/view/inside/trees.ts';

const tree = 2 ** 48;

/** What a reader says first, of a file system without a name. */
function description(): Buffer {
  const bytes = Buffer.alloc(12 + 8 + 4 + 8 + 4);
  bytes.writeBigUInt64LE(2n, 12);
  return bytes;
}

/** Trees whose reader has been started and has said nothing yet. */
async function starting() {
  const pool = new ReaderPool();
  onTestFinished(() => pool.close());
  let attached: (serial: number) => void = () => undefined;
  const serial = new Promise<number>((resolve) => {
    attached = resolve;
  });
  const served: number[] = [];
  const session = {
    attachTree: (_node: number, given: number, socket: number) => {
      closeSync(socket);
      attached(given);
    },
    serveTree: (node: number) => void served.push(node),
    detachTree: () => undefined,
    failTree: () => undefined,
    treeIdleMs: () => 0,
  };
  const trees = new FileTrees({
    native: { socketPair: () => ({ ours: openSync(devNull, 'r'), theirs: openSync(devNull, 'r') }) },
    session: () => session,
    pool,
    program: '/bin/true',
    volumeOf: async () => ({
      imagePath: devNull,
      offset: 0,
      sizeBytes: 1,
      source: { node: 2, sizeBytes: 1, segments: [] },
      generation: 1,
    }),
  });
  onTestFinished(() => trees.close());
  const opened = trees.open(tree);
  opened.catch(() => undefined);
  return { trees, opened, served, serial: await serial };
}

test('a file system whose reader has answered is known and served', async () => {
  const { trees, opened, served, serial } = await starting();
  trees.answered(tree, serial, 0, description());
  expect(await opened).toMatchObject({ root: 2 });
  expect(trees.known(tree)).toMatchObject({ root: 2 });
  expect(served).toEqual([tree]);
});

test('one whose backup goes in the same moment is neither known nor served: its number is given again', async () => {
  const { trees, opened, served, serial } = await starting();
  trees.answered(tree, serial, 0, description());
  trees.drop(tree);
  await expect(opened).rejects.toMatchObject({ code: 'READER_FAILED' });
  expect(trees.known(tree)).toBeUndefined();
  expect(served).toEqual([]);
});
