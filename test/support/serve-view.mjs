/** A process that serves one image file through the view until it is killed: node serve-view.mjs VIEW-DIRECTORY IMAGE-FILE [PAUSE].
 *  PAUSE: milliseconds that each read of 256 KiB takes longer, one after the other. Prints one line of JSON when the view is there. On SIGUSR2 it leaves by process.exit, without closing anything. Uses the
 *  built daemon, because node can't run TypeScript. */

import { open } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { openView } from '../../dist/daemon/view/view.js';
import { native, readerProgram } from '../../dist/native/native.js';

const slotBytes = 256 * 1024;
const [viewDirectory, imageFile, pause] = process.argv.slice(2);
const file = await open(imageFile);
const { size } = await file.stat();
let turn = Promise.resolve();
const image = {
  sizeBytes: size,
  blockBytes: 64 * 1024,
  read: async (offset, output) => {
    await (turn = turn.then(() => wait(Number(pause ?? 0))));
    const { bytesRead } = await file.read(output, 0, output.length, offset);
    output.fill(0, bytesRead);
    return [];
  },
};
const time = '2026-11-21T12:31:06.000Z';
const backup = {
  id: '1a2b3c4d-0000-4000-8000-000000000001',
  volume_id: 'v',
  volume_name: 'disk',
  project_id: 'default',
  created_at: time,
  data_timestamp: time,
  size_bytes: size,
};
const view = await openView({
  native,
  cache: new Uint8Array(native.allocateArena(16 * slotBytes)),
  scratch: new Uint8Array(native.allocateArena(2 * slotBytes)),
  source: {
    generation: () => 0,
    volumeIds: () => ['v'],
    backups: () => [backup],
    backupsMade: () => [backup],
    backup: () => backup,
    open: async () => ({ image, manifest: Buffer.from('{}') }),
  },
  viewDirectory,
  readerProgram,
  clock: { now: () => Date.now() },
  threads: 2,
  allowOther: false,
  sightOf: () => ({ key: 'all', sees: () => true }),
  callerOwnsAll: false,
});
process.on('SIGUSR2', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ imagePath: view.imagePath(backup.id) })}\n`);
