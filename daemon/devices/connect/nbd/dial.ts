/** Makes the connection over which an export is read or written, for the program that does it.
 *  Promises: one connection or a fault in set time; nothing of what the server says is read from it. */

import { connect, type Socket } from 'node:net';
import { errnoOf, Fault } from '../../../base/faults.ts';
import type { ConnectContext } from '../connector.ts';
import { attachFailed } from '../trouble.ts';
import { formatNbdUrl, type NbdAddress } from './address.ts';

const dialTimeoutMs = 10_000;

export async function dialNbd(
  address: NbdAddress,
  { signal, policy }: Pick<ConnectContext, 'signal' | 'policy'>,
): Promise<Socket> {
  signal.throwIfAborted();
  const socket = address.over === 'unix' ? connect(address.socket) : connect(address.port, address.host);
  // Paused before it is there, it never reads: the first word is for the program.
  socket.pause();
  if (address.over === 'tcp') socket.setNoDelay(true).setKeepAlive(true);
  const limitMs = Math.min(dialTimeoutMs, policy.timeoutMs);
  const failed = (why: string) => attachFailed(formatNbdUrl(address), why);
  const abort = () => socket.destroy(signal.reason);
  const timer = setTimeout(
    () => socket.destroy(failed(`nobody takes the connection within ${limitMs / 1000} s`)),
    limitMs,
  );
  signal.addEventListener('abort', abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.on('error', (thrown) => {
        const errno = thrown instanceof Fault ? undefined : errnoOf(thrown);
        reject(errno === undefined ? thrown : failed(`its server can not be reached: ${errno}`));
      });
    });
    return socket;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
