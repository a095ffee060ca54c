/** The one way to the daemon's socket.
 *    call ─request▶ socket ─result, fault or events▶ caller
 *  Promises: a call ends with a result or a thrown fault, also when the daemon goes away in the middle; the version of the
 *  protocol is settled before the first call. Knows nothing of commands or of what is printed. */

import { createConnection, type Socket } from 'node:net';
import { Fault } from '../daemon/protocol/faults.ts';
import { decodeBody, encodeFrame, FrameReader } from '../daemon/protocol/frames.ts';
import type { MethodName, Params, Response, Result } from '../daemon/protocol/methods.ts';
import type { EventValue, JobValue } from '../daemon/protocol/values.ts';
import { productVersion, protocolVersion } from '../daemon/protocol/version.ts';
import { RemoteFailure } from './failure.ts';

/** A daemon that does not say hello within this time hangs, or is something else. */
const helloTimeoutMs = 15_000;

export interface Hear {
  readonly onJob?: (job: JobValue) => void;
  readonly onEvent?: (event: EventValue) => void;
}

export interface Connection {
  /** `hear` is told of the events that the call asked for. */
  call<M extends MethodName>(method: M, params: Params<M>, hear?: Hear): Promise<Result<M>>;
  close(): void;
}

export async function connect(socketPath: string, limitMs = helloTimeoutMs): Promise<Connection> {
  const connection = new SocketConnection(await openSocket(socketPath), socketPath);
  try {
    await sayHello(connection, socketPath, limitMs);
    return connection;
  } catch (thrown) {
    connection.close();
    throw thrown;
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nobody listens on it',
  ENOTSOCK: 'it is not a socket',
  EINVAL: 'this is no usable path for a socket',
};

function openSocket(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path: socketPath });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (thrown: NodeJS.ErrnoException) => {
      const code = thrown.code ?? '';
      if (code === 'EACCES' || code === 'EPERM') {
        reject(
          new Fault('NOT_PERMITTED', `Cannot open the socket "${socketPath}": permission denied`, {
            cause: thrown,
          }),
        );
        return;
      }
      const reason = reasons[code] ?? thrown.message;
      reject(new Fault('DAEMON_UNREACHABLE', `Cannot reach basaltd at "${socketPath}": ${reason}`));
    });
  });
}

async function sayHello(connection: Connection, socketPath: string, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Fault('DAEMON_UNREACHABLE', `Cannot reach basaltd at "${socketPath}": it does not answer`));
    }, limitMs);
  });
  const hello = connection.call('hello', { client: `basaltctl/${productVersion}`, ...protocolVersion });
  try {
    const { version, protocol } = await Promise.race([hello, tooLate]);
    if (protocol.major === protocolVersion.major) return;
    throw new Fault(
      'PROTOCOL_VERSION',
      `Cannot talk to basaltd "${version}": it speaks protocol ${protocol.major}, this client ${protocolVersion.major}`,
    );
  } finally {
    clearTimeout(timer);
  }
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (thrown: unknown) => void;
  readonly hear: Hear;
}

class SocketConnection implements Connection {
  readonly #socket: Socket;
  readonly #socketPath: string;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  /** Why no further call can succeed. */
  #ended: unknown;

  constructor(socket: Socket, socketPath: string) {
    this.#socket = socket;
    this.#socketPath = socketPath;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (thrown) => this.#end(this.#lost(thrown.message)));
    socket.on('close', () => this.#end(this.#lost('it closed the connection')));
  }

  call<M extends MethodName>(method: M, params: Params<M>, hear: Hear = {}): Promise<Result<M>> {
    return new Promise<Result<M>>((resolve, reject) => {
      if (this.#ended !== undefined) throw this.#ended;
      const id = this.#nextId;
      const frame = encodeFrame({ id, method, params });
      this.#nextId += 1;
      // The daemon is of the same major version: what it answers has the type of the row.
      this.#pending.set(id, { resolve: (result) => resolve(result as Result<M>), reject, hear });
      this.#socket.write(frame);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const body of this.#reader.push(chunk)) this.#take(decodeBody(body) as Response);
    } catch (thrown) {
      this.#end(thrown);
      this.#socket.destroy();
    }
  }

  #take(response: Response): void {
    if (typeof response !== 'object' || response === null || !('id' in response)) {
      throw this.#garbled();
    }
    // A fault without an id is about the connection as a whole.
    if (response.id === null) throw 'error' in response ? new RemoteFailure(response.error) : this.#garbled();
    const pending = this.#pending.get(response.id);
    if (pending === undefined) return;
    if ('event' in response) {
      if (response.event === 'job') pending.hear.onJob?.(response.data);
      // Of a kind that only a newer daemon knows: nobody here asked for it.
      else if (response.event === 'backup') pending.hear.onEvent?.(response.data);
      return;
    }
    this.#pending.delete(response.id);
    if ('error' in response) pending.reject(new RemoteFailure(response.error));
    else pending.resolve(response.result);
  }

  #garbled(): Fault {
    return new Fault('PROTOCOL', `Cannot understand the answer of basaltd at "${this.#socketPath}"`);
  }

  #lost(reason: string): Fault {
    return new Fault(
      'DAEMON_UNREACHABLE',
      `Lost the connection to basaltd at "${this.#socketPath}": ${reason}`,
    );
  }

  #end(reason: unknown): void {
    this.#ended ??= reason;
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
  }
}
