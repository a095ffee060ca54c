/** The control socket: who may connect, how many, and what ends with the daemon.
 *  Promises: one client, however broken or hostile, neither disturbs another nor makes the daemon grow; places are kept
 *  for administrators; `close` answers what is under way for a short time and leaves no socket behind.
 *  What it does not know: what the methods do; handlers are handed in. */

import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Native } from '../../native/native.ts';
import { Fault } from '../base/faults.ts';
import { clientsForAdmins, clientsMax, stopGraceMs } from '../base/limits.ts';
import type { Grant } from '../config/grants.ts';
import { encodeFrame } from '../protocol/frames.ts';
import { Connection, lingerMs } from './connection.ts';
import { faultResponse, type Handlers } from './dispatch.ts';
import { listenAt, readGroupId } from './listen.ts';
import { type Credentials, type Rights, rightsOf } from './permissions.ts';

export interface ServerParts {
  readonly native: Pick<Native, 'peerCredentials' | 'groupsOf'>;
  readonly handlers: Handlers;
  readonly socketPath: string;
  readonly adminGroup: string;
  readonly grants?: readonly Grant[];
  readonly log: Logger;
  /** Mode of the socket; 0660 unless told. */
  readonly socketMode?: number;
  readonly groupFile?: string;
  readonly stallMs?: number;
}

export interface ControlServer {
  /** Answers what is under way for at most `graceMs`, then ends every connection and removes the socket. */
  close(graceMs?: number): Promise<void>;
}

/** The descriptor under a socket, which Node itself has no name for; negative when it is closed. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null };
  return handle?.fd ?? -1;
}

class Clients {
  readonly #parts: ServerParts;
  readonly #adminGid: number | undefined;
  readonly #connections = new Set<Connection>();
  #crowded = false;
  #stopping = false;

  constructor(parts: ServerParts, adminGid: number | undefined) {
    this.#parts = parts;
    this.#adminGid = adminGid;
  }

  accept(socket: Socket): void {
    const { native, log, handlers, stallMs } = this.#parts;
    let credentials: Credentials;
    let rights: Rights;
    try {
      credentials = native.peerCredentials(descriptorOf(socket));
      const groups = native.groupsOf(credentials.uid);
      rights = rightsOf(credentials, groups, this.#adminGid, this.#parts.grants ?? []);
    } catch (thrown) {
      log.warn({ err: thrown }, 'Cannot learn who connects; closing the connection');
      socket.destroy();
      return;
    }
    const places = rights.admin ? clientsMax : clientsMax - clientsForAdmins;
    if (this.#stopping || this.#connections.size >= places) {
      this.#refuse(socket, credentials);
      return;
    }
    this.#crowded = false;
    const connection = new Connection({
      socket,
      credentials,
      rights,
      handlers,
      log,
      ...(stallMs === undefined ? {} : { stallMs }),
    });
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#connections].map((connection) => connection.stop(graceMs)));
  }

  #refuse(socket: Socket, credentials: Credentials): void {
    const fault = this.#stopping
      ? new Fault('DAEMON_STOPPING', 'Cannot take the connection: the daemon is stopping')
      : new Fault(
          'TOO_MANY',
          `Cannot take the connection: "${this.#connections.size}" clients are connected`,
        );
    // Said once for each crowd, or a flood of connections would be a flood of lines.
    if (!this.#crowded && !this.#stopping) {
      this.#parts.log.warn(credentials, `${fault.message}; refusing more until one has gone`);
      this.#crowded = true;
    }
    socket.on('error', () => undefined);
    socket.resume();
    socket.end(encodeFrame(faultResponse(null, fault)));
    const linger = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(linger));
  }
}

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
  });

/** STATE_LOCKED where another daemon answers at the path; CONFIG_INVALID where the socket can't be made. */
export async function startServer(parts: ServerParts): Promise<ControlServer> {
  const adminGid = await readGroupId(parts.adminGroup, parts.groupFile);
  if (adminGid === undefined) {
    parts.log.warn({ group: parts.adminGroup }, 'The admin group does not exist; only root administers');
  }
  const clients = new Clients(parts, adminGid);
  const server = createServer({ noDelay: false }, (socket) => clients.accept(socket));
  // Refused clients linger until they have read why; beyond this many they are dropped without a word.
  server.maxConnections = 2 * clientsMax;
  const removeSocket = await listenAt(server, {
    path: parts.socketPath,
    mode: parts.socketMode ?? 0o660,
    gid: adminGid,
  });
  // A connection that failed before it was accepted concerns that client only; the socket goes on listening.
  server.on('error', (thrown) =>
    parts.log.warn({ err: thrown }, 'Cannot take a connection; waiting for the next'),
  );
  return {
    close: async (graceMs = stopGraceMs) => {
      await removeSocket();
      const done = closed(server);
      await clients.stop(graceMs);
      await done;
    },
  };
}
