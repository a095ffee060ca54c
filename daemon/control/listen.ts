/** Binds the control socket so that it is never open to more than its owner and group, not even for a moment.
 *  Promises: it is made in a private folder and renamed into place with its final owner and mode; the socket of a dead
 *  daemon is replaced, that of a live one is not (STATE_LOCKED). What it does not know: who connects. */

import { chmod, chown, lstat, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { errnoOf, Fault } from '../base/faults.ts';

/** The id of a group in the text of /etc/group, or undefined. */
export function groupIdIn(text: string, name: string): number | undefined {
  for (const line of text.split('\n')) {
    const [group, , id] = line.split(':');
    if (group === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}

export const readGroupId = async (name: string, file = '/etc/group'): Promise<number | undefined> =>
  groupIdIn(await readFile(file, 'utf8'), name);

/** Why nobody answers at `path`: nothing there, or a socket that nobody listens on. Undefined where somebody does. */
async function probe(path: string): Promise<'nothing' | 'stale' | undefined> {
  const found = await lstat(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) === 'ENOENT') return undefined;
    throw new Fault(
      'CONFIG_INVALID',
      `Cannot look at the socket "${path}": ${errnoOf(thrown) ?? String(thrown)}`,
      {
        cause: thrown,
      },
    );
  });
  if (found === undefined) return 'nothing';
  if (!found.isSocket()) {
    throw new Fault('CONFIG_INVALID', `Cannot listen on "${path}": something that is not a socket is there`);
  }
  const code = await new Promise<string | undefined>((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.on('error', (thrown) => resolve(errnoOf(thrown)));
  });
  if (code === 'ENOENT') return 'nothing';
  // Anything but a refusal (a full backlog, say) is taken as a sign of life.
  return code === 'ECONNREFUSED' ? 'stale' : undefined;
}

const listening = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });

export interface SocketPlace {
  readonly path: string;
  readonly mode: number;
  /** Undefined: the group of the daemon. */
  readonly gid: number | undefined;
}

/** Listens at `place`. Gives the function that removes the socket again, if it is still this one. */
export async function listenAt(server: Server, place: SocketPlace): Promise<() => Promise<void>> {
  const { path, mode, gid } = place;
  const folder = dirname(path);
  // A folder made here is for the socket alone: whoever may use the socket must get to it, whatever the umask.
  if ((await mkdir(folder, { recursive: true })) !== undefined) await chmod(folder, 0o755);
  if ((await probe(path)) === undefined) {
    throw new Fault('STATE_LOCKED', `Cannot listen on "${path}": another daemon answers there`);
  }
  // Only its owner may enter the folder that `mkdtemp` makes, so nobody can connect before owner and mode are right.
  const hidden = await mkdtemp(join(folder, '.s-'));
  try {
    const temporary = join(hidden, 's');
    await listening(server, temporary);
    if (gid !== undefined) await chown(temporary, process.getuid?.() ?? 0, gid);
    await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (thrown) {
    server.close();
    throw new Fault('CONFIG_INVALID', `Cannot listen on "${path}": ${errnoOf(thrown) ?? String(thrown)}`, {
      cause: thrown,
    });
  } finally {
    await rm(hidden, { recursive: true, force: true });
  }
  const { ino, dev } = await lstat(path);
  return async () => {
    const now = await lstat(path).catch(() => undefined);
    if (now?.ino === ino && now.dev === dev) await rm(path, { force: true });
  };
}
