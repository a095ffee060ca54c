/** What goes out to one client: answers in order, events merged while the client is slow.
 *  Promises: never more than `clientBacklogBytesMax` wait; a client beyond that, or one that takes nothing for
 *  `clientStallMs`, is cut off. What it does not know: requests and handlers. */

import type { Socket } from 'node:net';
import { Fault, faults } from '../base/faults.ts';
import { clientBacklogBytesMax, clientStallMs, eventBacklogBytesMax, frameBytesMax } from '../base/limits.ts';
import { encodeFrame } from '../protocol/frames.ts';
import type { EventMessage, Response } from '../protocol/methods.ts';

export interface Outbox {
  /** Sends an answer. One too large for a frame goes out as the fault FRAME_TOO_LARGE. */
  answer(response: Response): void;
  /** Sends an event. While the client is slow, of those that a later one makes old (the state of a job, its progress) only the
   *  newest of each request and job is kept; starts and ends go out in any case. */
  event(id: number, message: EventMessage): void;
  /** Forgets events of a request that wait: its answer says more. */
  forget(id: number): void;
  stop(): void;
}

/** Undefined where it does not fit a frame. */
function encode(response: Response): Buffer | undefined {
  try {
    return encodeFrame(response);
  } catch (thrown) {
    if (thrown instanceof Fault) return undefined;
    throw thrown;
  }
}

/** True where the next one of the same job says all that this one does. */
const growsOld = (message: EventMessage): boolean =>
  message.event === 'job' || message.data.event.endsWith('.progress');

const tooLarge = (id: number | null): Response => ({
  id,
  error: {
    code: 'FRAME_TOO_LARGE',
    message: `Cannot send the answer: it has more than "${frameBytesMax}" bytes`,
    hint: faults.FRAME_TOO_LARGE.hint,
  },
});

/** `cutOff` ends the connection and is told why. */
export function createOutbox(
  socket: Socket,
  cutOff: (why: string) => void,
  stallMs: number = clientStallMs,
): Outbox {
  const waiting = new Map<string, { readonly id: number; readonly message: EventMessage }>();
  let stall: NodeJS.Timeout | undefined;
  let taken = 0;

  /** Cut off is who took no frame at all in `stallMs`; a slow reader is not. */
  const watch = () => {
    const takenBefore = taken;
    stall = setTimeout(() => {
      if (taken === takenBefore) cutOff('it has read none of its answers for too long');
      else watch();
    }, stallMs).unref();
  };
  const rest = () => {
    clearTimeout(stall);
    stall = undefined;
  };
  const write = (frame: Buffer) => {
    if (socket.writableEnded || socket.destroyed) return;
    socket.write(frame, () => {
      taken += 1;
    });
    if (socket.writableLength > clientBacklogBytesMax) cutOff('it does not read its answers');
    else if (socket.writableNeedDrain && stall === undefined) watch();
  };
  const writeEvent = (id: number, message: EventMessage) => {
    const frame = encode({ id, ...message });
    if (frame !== undefined) write(frame);
  };
  socket.on('drain', () => {
    rest();
    for (const [key, { id, message }] of waiting) {
      waiting.delete(key);
      writeEvent(id, message);
      if (socket.writableLength > eventBacklogBytesMax) return;
    }
  });

  return {
    answer: (response) => {
      const frame = encode(response) ?? encode(tooLarge(response.id));
      if (frame !== undefined) write(frame);
    },
    event: (id, message) => {
      const slow = socket.writableLength > eventBacklogBytesMax || waiting.size > 0;
      const key = `${id} ${message.event === 'job' ? message.data.id : message.data.job_id}`;
      waiting.delete(key);
      if (slow && growsOld(message)) waiting.set(key, { id, message });
      else writeEvent(id, message);
    },
    forget: (id) => {
      for (const [key, event] of waiting) if (event.id === id) waiting.delete(key);
    },
    stop: () => {
      rest();
      waiting.clear();
    },
  };
}
