/** Whether a virtual machine, on this host or on another one, has an image open. Source: QEMU, block/file-posix.c: whoever has an image
 *  open holds locks on bytes of it, and qemu-img asks for them before it opens one.
 *  Promises: refuses an image that is in use; where nobody can tell, says so to the operator. */

import type { ConnectContext } from '../connector.ts';
import { attachFailed } from '../trouble.ts';

type Context = Pick<ConnectContext, 'tools' | 'note' | 'signal'>;

/** A server that has just started holds back locks for up to a minute and a half. */
const lockTimeoutMs = 120_000;

export async function checkImageLock(
  what: string,
  format: 'raw' | 'qcow2',
  path: string,
  { tools, note, signal }: Context,
): Promise<void> {
  if ((await tools.find('qemu-img')) === undefined) {
    note('Without qemu-img nobody can tell whether a virtual machine uses the file');
    return;
  }
  // As raw, whatever it is: so it opens the file, and looks at nothing that the file names. "blkdebug" is what can be told to bear
  // nobody beside it that writes.
  const image = { driver: 'file', filename: path };
  const alone = { driver: 'blkdebug', 'unshare-child-perms': ['write'], image };
  const file = JSON.stringify({ driver: 'raw', 'read-only': true, file: alone });
  const run = await tools.run('qemu-img', ['info', '--output=json', `json:${file}`], {
    timeoutMs: lockTimeoutMs,
    signal,
  });
  if (/Failed to get .*lock/.test(run.stderr))
    throw attachFailed(what, 'a virtual machine or another program of QEMU has it open', { format });
}
