/** A source of another process, which answers slowly, or not at all for a while: an image file served through a view of its own.
 *  Promises: nothing outlives the test, also where it fails while the source hangs. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { folderForTest, run } from './devices.ts';

const program = fileURLToPath(new URL('serve-view.mjs', import.meta.url));

export interface SlowSource {
  readonly path: string;
  /** From now on nobody is answered, until `answer`. */
  hang(): void;
  answer(): void;
}

/** `pauseMs`: what 256 KiB take, whoever else reads. */
export async function slowSource(bytes: Uint8Array, pauseMs = 0): Promise<SlowSource> {
  const folder = folderForTest();
  const image = join(folder, 'image');
  const view = join(folder, 'view');
  writeFileSync(image, bytes);
  const child = spawn(process.execPath, [program, view, image, String(pauseMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    run('sh', '-c', 'umount --lazy "$1" 2>&1 || true', 'sh', view);
  });
  for await (const line of createInterface(child.stdout)) {
    const { imagePath } = JSON.parse(line) as { imagePath: string };
    return {
      path: imagePath,
      hang: () => void child.kill('SIGSTOP'),
      answer: () => void child.kill('SIGCONT'),
    };
  }
  throw new Error('the process that serves the source ended early');
}
