/** An NBD server that does what no real one does when it is told to: takes so many clients, tells each another size, keeps silent,
 *  goes away, or fails some blocks.
 *  Promises: it speaks the protocol otherwise, and has gone when the test has finished. It serves from the process of the test: who
 *  reads what it serves without leaving the thread waits for ever.
 *  Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, fixed newstyle with simple replies. */

import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { folderForTest } from './devices.ts';

export interface OddNbdOptions {
  readonly bytes: Buffer;
  /** Clients at a time; another one is hung up on. */
  readonly clientsMax?: number;
  /** What client number `client`, counted from 1, is told. */
  readonly size?: (client: number) => number;
  /** What becomes of a read. "never": no reply, and none to any later one. */
  readonly read?: (offset: number, length: number, client: number) => 'bytes' | 'error' | 'never' | 'hang up';
}

export interface OddNbdServer {
  readonly url: string;
  /** Clients so far, and the most at a time. */
  readonly seen: { clients: number; most: number };
  /** Another volume is behind the name from now on; whoever is connected is hung up on. */
  show(bytes: Buffer): void;
}

const [optionMagic, replyMagic] = [0x49484156454f5054n, 0x3e889045565a9n];
const [requestMagic, answerMagic] = [0x25609513, 0x67446698];
const [optionAbort, optionGo] = [2, 7];
const [acknowledged, information, unsupported] = [1, 3, 0x80000001];
/** Has flags; several connections show the same. */
const transmissionFlags = 0x1 | 0x100;
const [commandRead, commandEnd] = [0, 2];
const inputOutput = 5;

function optionReply(option: number, kind: number, data = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(replyMagic, 0);
  [option, kind, data.length].forEach((value, place) => head.writeUInt32BE(value, 8 + 4 * place));
  return Buffer.concat([head, data]);
}

function exportInformation(sizeBytes: number): Buffer<ArrayBuffer> {
  const data = Buffer.alloc(12);
  data.writeBigUInt64BE(BigInt(sizeBytes), 2);
  data.writeUInt16BE(transmissionFlags, 10);
  return data;
}

/** Reads exactly so many bytes of a socket; undefined where it has ended. */
function reader(socket: Socket): (length: number) => Promise<Buffer | undefined> {
  const chunks = socket[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  return async (length) => {
    while (held.length < length) {
      const next = await chunks.next().catch(() => ({ done: true, value: undefined }) as const);
      if (next.done === true) return undefined;
      held = Buffer.concat([held, next.value]);
    }
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  };
}

type Take = ReturnType<typeof reader>;

/** True once the client may read. */
async function negotiate(socket: Socket, take: Take, sizeBytes: number): Promise<boolean> {
  const hello = Buffer.alloc(18);
  hello.write('NBDMAGIC', 0, 'latin1');
  hello.writeBigUInt64BE(optionMagic, 8);
  hello.writeUInt16BE(3, 16);
  socket.write(hello);
  if ((await take(4)) === undefined) return false;
  for (;;) {
    const head = await take(16);
    if (head === undefined) return false;
    const option = head.readUInt32BE(8);
    if ((await take(head.readUInt32BE(12))) === undefined) return false;
    if (option === optionGo) {
      socket.write(optionReply(option, information, exportInformation(sizeBytes)));
      socket.write(optionReply(option, acknowledged));
      return true;
    }
    socket.write(optionReply(option, option === optionAbort ? acknowledged : unsupported));
    if (option === optionAbort) return false;
  }
}

async function serve(
  socket: Socket,
  take: Take,
  bytes: () => Buffer,
  fate: (offset: number, length: number) => string,
): Promise<void> {
  for (;;) {
    const request = await take(28);
    if (request === undefined || request.readUInt32BE(0) !== requestMagic) return;
    const command = request.readUInt16BE(6);
    const [offset, length] = [Number(request.readBigUInt64BE(16)), request.readUInt32BE(24)];
    if (command === commandEnd) return;
    const what = command === commandRead ? fate(offset, length) : 'error';
    if (what === 'hang up') return;
    if (what === 'never') {
      await new Promise((resolve) => socket.once('close', resolve));
      return;
    }
    const answer = Buffer.alloc(16);
    answer.writeUInt32BE(answerMagic, 0);
    answer.writeUInt32BE(what === 'error' ? inputOutput : 0, 4);
    request.copy(answer, 8, 8, 16);
    const data = what === 'error' ? [] : [bytes().subarray(offset, offset + length)];
    socket.write(Buffer.concat([answer, ...data]));
  }
}

export async function serveOddNbd(options: OddNbdOptions): Promise<OddNbdServer> {
  const { clientsMax = Infinity, read = () => 'bytes' } = options;
  let { bytes } = options;
  const socketPath = join(folderForTest(), 'odd.sock');
  const sockets = new Set<Socket>();
  const seen = { clients: 0, most: 0 };
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (sockets.size >= clientsMax) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    seen.clients += 1;
    seen.most = Math.max(seen.most, sockets.size);
    const client = seen.clients;
    const take = reader(socket);
    const size = options.size?.(client) ?? bytes.length;
    const fate = (offset: number, length: number) => read(offset, length, client);
    void negotiate(socket, take, size)
      .then((reads) => (reads ? serve(socket, take, () => bytes, fate) : undefined))
      .finally(() => {
        socket.destroy();
        sockets.delete(socket);
      });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(async () => {
    const ended = new Promise((resolve) => server.close(resolve));
    hangUp();
    await ended;
  });
  const show = (other: Buffer) => {
    bytes = other;
    hangUp();
  };
  return { url: `nbd+unix:///disk?socket=${socketPath}`, seen, show };
}
