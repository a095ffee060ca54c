/** A snapshot is asked what has changed: who can't say has everything read, and one that is lost meanwhile ends the backup. */

import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import type { ReadableSnapshot } from '../../../daemon/devices/snapshots/maker.ts';
import type { BackupManifest } from '../../../daemon/format/manifest.ts';
import { HintsTold } from '../../../daemon/jobs/hints.ts';
import { snapshotHints } from '../../../daemon/jobs/snapshot-hints.ts';
import { codeOf, folderForTest } from '../../support/devices.ts';
import { thinMark } from '../../support/records.ts';
import { fieldsOf } from '../../support/repository.ts';

const parent: BackupManifest = {
  ...fieldsOf('6d3bd7b6-5b9a-4d0b-8f3c-5a5a2f6f1c11', 65_536),
  map: { block_bytes: 65_536, height: 1, root: '0'.repeat(64) },
  statistics: { read_bytes: 0, zero_bytes: 0, known_bytes: 0, new_bytes: 0, stored_bytes: 0 },
  evidence: { read_from: 'snapshot', used_by: [], hooks: [], made_from: thinMark },
};

const lost = new Fault('SNAPSHOT_LOST', 'Cannot go on reading snapshot "vg0/s"');

type Comparison = NonNullable<ReadableSnapshot['comparable']>['changesSince'];

async function ask(changesSince: Comparison, isLost = false) {
  let watched = 0;
  const snapshot: ReadableSnapshot = {
    url: 'file:///dev/null',
    watch: (tell) => {
      watched += 1;
      if (isLost) queueMicrotask(() => tell(lost));
      return () => {
        watched -= 1;
      };
    },
    trouble: () => Promise.resolve(undefined),
    release: () => Promise.resolve(),
    comparable: { mark: thinMark, changesSince },
  };
  const told = new HintsTold();
  const context = { doing: () => undefined, log: () => undefined, signal: new AbortController().signal };
  const order = {
    backup: { parent_id: parent.backup.id },
    snapshot,
    repository: { manifest: () => Promise.resolve(parent) },
    told,
  };
  const asked = snapshotHints({ stateDirectory: folderForTest() }, context, order);
  await asked.catch(() => undefined);
  expect(watched).toBe(0);
  return { asked, told };
}

test('the snapshot of the parent is what is compared with, and a reason has everything read', async () => {
  const { asked, told } = await ask((earlier) => Promise.resolve(`${earlier.snapshot} is gone`));
  expect((await asked).hints).toBe(undefined);
  expect(told.evidence.hints?.use).toBe('s is gone, read everything');
});

test('a snapshot that is lost while it is compared ends the backup at once', async () => {
  const { asked } = await ask(
    (_earlier, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
    true,
  );
  expect(await codeOf(asked)).toBe('SNAPSHOT_LOST');
});
