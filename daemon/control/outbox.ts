/** What goes out to one client: answers in order, events merged while the client is slow.
 *  Promises: never more than `clientBacklogBytesMax` wait; a client beyond that, or one that takes nothing for
 *  `clientStallMs`, is cut off. What it does not know: requests and handlers. */

import type { Socket } from 'node:net';
import { Fault, faults } from '../base/faults.ts';
import { clientBacklogBytesMax, clientStallMs, eventBacklogBytesMax, frameBytesMax } from '../base/limits.ts';
import { encodeFrame } from '../protocol/frames.ts';
import type { Response } from '../protocol/methods.ts';
import type { JobValue } from '../protocol/values.ts';

export interface Outbox {
  /** Sends an answer. One too large for a frame goes out as the fault FRAME_TOO_LARGE. */
  answer(response: Response): void;
  /** Sends an event, or keeps the newest one of its request and job until the client has caught up. */
  event(id: number, data: JobValue): void;
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
  const waiting = new Map<string, { readonly id: number; readonly data: JobValue }>();
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
  const writeEvent = (id: number, data: JobValue) => {
    const frame = encode({ id, event: 'job', data });
    if (frame !== undefined) write(frame);
  };
  socket.on('drain', () => {
    rest();
    for (const [key, { id, data }] of waiting) {
      waiting.delete(key);
      writeEvent(id, data);
      if (socket.writableLength > eventBacklogBytesMax) return;
    }
  });

  return {
    answer: (response) => {
      const frame = encode(response) ?? encode(tooLarge(response.id));
      if (frame !== undefined) write(frame);
    },
    event: (id, data) => {
      const slow = socket.writableLength > eventBacklogBytesMax || waiting.size > 0;
      if (slow) waiting.set(`${id} ${data.id}`, { id, data });
      else writeEvent(id, data);
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
