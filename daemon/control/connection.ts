/** One client: its frames in, its requests under way, its answers out.
 *    socket ▶ FrameReader ▶ request ▶ dispatch ▶ outbox ▶ socket
 *  Promises: at most `requestsPerClientMax` requests under way; nothing but "hello" before "hello"; reading stops while
 *  answers pile up; a broken or oversized frame is answered once and ends the connection; a stalled one ends by itself;
 *  handlers learn of the end through their signal. What it does not know: other clients. */

import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { Fault, toFault } from '../base/faults.ts';
import { clientStallMs, requestsPerClientMax } from '../base/limits.ts';
import { decodeBody, FrameReader } from '../protocol/frames.ts';
import type { EventMessage, Request } from '../protocol/methods.ts';
import { answerHello, type Caller, dispatch, faultResponse, type Handlers, readRequest } from './dispatch.ts';
import { createOutbox } from './outbox.ts';
import type { Credentials, Rights } from './permissions.ts';

export interface ConnectionParts {
  readonly socket: Socket;
  readonly credentials: Credentials;
  readonly rights: Rights;
  readonly handlers: Handlers;
  readonly log: Logger;
  readonly stallMs?: number;
}

/** How long a client that was told the end may take to close its side. */
export const lingerMs = 500;

export class Connection {
  readonly #parts: ConnectionParts;
  readonly #reader = new FrameReader();
  readonly #outbox;
  readonly #gone = new AbortController();
  readonly #underWay = new Set<number>();
  readonly #stallMs: number;
  #greeted = false;
  #stopping = false;
  /** Nothing more is read or answered: the last frame is on its way out. */
  #over = false;
  /** Runs while "hello" or the rest of a frame is due. */
  #due: NodeJS.Timeout | undefined;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#stallMs = parts.stallMs ?? clientStallMs;
    const { socket } = parts;
    this.#outbox = createOutbox(socket, (why) => this.#cutOff(why), this.#stallMs);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      socket.resume();
      this.#watchDue();
    });
    // The close that follows says all: whether the client went quietly makes no difference.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#close());
    this.#watchDue();
  }

  /** Answers what is under way for at most `graceMs`, takes nothing new, and ends. */
  async stop(graceMs: number): Promise<void> {
    const { socket } = this.#parts;
    if (socket.destroyed) return;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    this.#stopping = true;
    if (this.#underWay.size === 0) this.#end();
    const grace = setTimeout(() => {
      const fault = new Fault('DAEMON_STOPPING', 'Cannot finish the request: the daemon is stopping');
      for (const id of this.#underWay) this.#outbox.answer(faultResponse(id, fault));
      this.#end();
    }, graceMs);
    await closed;
    clearTimeout(grace);
  }

  #read(chunk: Buffer): void {
    if (this.#over) return;
    try {
      for (const body of this.#reader.push(chunk)) {
        this.#take(readRequest(decodeBody(body)));
        if (this.#over) return;
        // A whole frame is progress: the next one has its own time.
        if (this.#greeted) this.#stopWatch();
      }
    } catch (thrown) {
      this.#breakOff(this.#faultOf(thrown));
      return;
    }
    if (this.#parts.socket.writableNeedDrain) this.#parts.socket.pause();
    this.#watchDue();
  }

  #take(request: Request): void {
    const { id, method } = request;
    if (this.#underWay.has(id)) throw new Fault('PROTOCOL', `Cannot take request "${id}": its id is in use`);
    try {
      if (method === 'hello') {
        this.#outbox.answer({ id, result: answerHello(request.params) });
        this.#greeted = true;
        return;
      }
      if (!this.#greeted) throw new Fault('PROTOCOL', `Cannot call "${method}": "hello" has to come first`);
      if (this.#stopping)
        throw new Fault('DAEMON_STOPPING', `Cannot call "${method}": the daemon is stopping`);
      if (this.#underWay.size >= requestsPerClientMax) {
        throw new Fault(
          'TOO_MANY',
          `Cannot call "${method}": ${requestsPerClientMax} requests are under way`,
        );
      }
    } catch (thrown) {
      this.#outbox.answer(faultResponse(id, this.#faultOf(thrown, method)));
      return;
    }
    this.#underWay.add(id);
    void this.#run(request);
  }

  async #run(request: Request): Promise<void> {
    const { id } = request;
    const response = await dispatch(this.#parts.handlers, request, this.#callerOf(id)).then(
      (result) => ({ id, result }),
      (thrown: unknown) => faultResponse(id, this.#faultOf(thrown, request.method)),
    );
    // Gone already where the connection ended first: then nobody waits for this answer.
    if (!this.#underWay.delete(id) || this.#over) return;
    this.#outbox.forget(id);
    try {
      this.#outbox.answer(response);
    } catch (thrown) {
      this.#outbox.answer(faultResponse(id, this.#faultOf(thrown, request.method)));
    }
    if (this.#stopping && this.#underWay.size === 0) this.#end();
  }

  #callerOf(id: number): Caller {
    const { credentials, rights } = this.#parts;
    const send = (message: EventMessage) => {
      if (this.#underWay.has(id) && !this.#over) this.#outbox.event(id, message);
    };
    return {
      ...credentials,
      admin: rights.admin,
      projects: rights.projects,
      mayActFor: (project) => rights.mayActFor(project),
      emit: (data) => send({ event: 'job', data }),
      tell: (data) => send({ event: 'backup', data }),
      signal: this.#gone.signal,
    };
  }

  /** What is not in the table is a bug: its stack stays in the log. */
  #faultOf(thrown: unknown, method?: string): Fault {
    const fault = toFault(thrown);
    if (fault.code === 'INTERNAL') {
      this.#parts.log.error({ err: fault.cause ?? fault, method }, 'A request failed in an unexpected way');
    }
    return fault;
  }

  /** "hello", or the rest of a frame, is only waited for while the daemon itself is reading. */
  #watchDue(): void {
    const isDue = !this.#over && (!this.#greeted || this.#reader.pending);
    if (!isDue || this.#parts.socket.isPaused()) this.#stopWatch();
    else {
      const what = this.#greeted ? 'the rest of a frame' : '"hello"';
      this.#due ??= setTimeout(() => this.#cutOff(`it did not send ${what} in time`), this.#stallMs).unref();
    }
  }

  #stopWatch(): void {
    clearTimeout(this.#due);
    this.#due = undefined;
  }

  #breakOff(fault: Fault): void {
    this.#parts.log.warn(
      { ...this.#parts.credentials, fault: fault.code },
      `${fault.message}; closing the connection`,
    );
    this.#outbox.answer(faultResponse(null, fault));
    this.#end();
  }

  /** What was answered still goes out; what comes in is thrown away until the client closes. */
  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#underWay.clear();
    this.#gone.abort();
    this.#stopWatch();
    const { socket } = this.#parts;
    socket.end();
    socket.resume();
    const linger = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => clearTimeout(linger));
  }

  #cutOff(why: string): void {
    this.#parts.log.warn(this.#parts.credentials, `Cutting off a client: ${why}`);
    // At once, not when the socket has closed: answers that are ready in this turn would still be put together.
    this.#close();
    this.#parts.socket.destroy();
  }

  #close(): void {
    this.#over = true;
    this.#underWay.clear();
    this.#stopWatch();
    this.#outbox.stop();
    this.#gone.abort();
  }
}
