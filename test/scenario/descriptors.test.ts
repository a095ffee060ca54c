/** What programs that the daemon runs are handed of it: nothing that it has open. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { addNoise, daemonForTest, MiB } from '../support/fault-world.ts';

const closeOnExec = 0o2000000;

/** Where descriptors lead that a new program would inherit. Pipes came from who started the daemon. */
function inherited(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .filter((fd) => Number(fd) > 2)
    .flatMap((fd) => {
      try {
        const [, flags = ''] =
          /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? [];
        return (Number.parseInt(flags, 8) & closeOnExec) === 0 ? [readlinkSync(`/proc/${pid}/fd/${fd}`)] : [];
      } catch {
        return [];
      }
    })
    .filter((path) => !path.startsWith('pipe:'));
}

test('no descriptor outlives the start of a program: not that of the catalog, nor those of indexes', async () => {
  const daemon = await daemonForTest();
  const open = () =>
    readdirSync(`/proc/${daemon.pid}/fd`).map((fd) => readlinkSync(`/proc/${daemon.pid}/fd/${fd}`));
  expect(open().filter((path) => path.endsWith('/catalog.mdb'))).not.toEqual([]);
  expect(inherited(daemon.pid)).toEqual([]);
  await addNoise(daemon, 'v', 2 * MiB, 1);
  await daemon.backUp('v');
  expect(inherited(daemon.pid)).toEqual([]);
});
