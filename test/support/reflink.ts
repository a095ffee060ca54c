/** Mounted file systems whose files can share bytes, and daemons whose volumes lie on them; gone when the test has finished. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { folderForTest, run, sparseFile } from './devices.ts';

export const reflinkKinds = ['btrfs', 'xfs'] as const;

/** XFS takes no less. */
const imageBytes = 320 * 2 ** 20;

/** The folder at which a new file system is mounted. */
export function mountedReflink(kind: (typeof reflinkKinds)[number]): string {
  const folder = folderForTest();
  const image = sparseFile(imageBytes, folder, 'reflink.img');
  run(`mkfs.${kind}`, ...(kind === 'xfs' ? ['-q', '-f', '-m', 'reflink=1'] : ['-q', '-f']), image);
  const mounted = join(folder, 'mounted');
  mkdirSync(mounted);
  run('mount', '-o', 'loop', image, mounted);
  onTestFinished(() => void run('umount', '--lazy', mounted));
  return mounted;
}

/** A program of the shell that writes what it is given, and how it is called, to `log`, and then does `work`. */
export function hookProgram(folder: string, name: string, log: string, work: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\nread -r line\necho "$line" >> ${log}\n${work}\n`, { mode: 0o755 });
  return path;
}
