/** A client of the control socket that can misbehave: it sends any bytes, and reads only when told to. */

import { connect, type Socket } from 'node:net';
import { decodeBody, encodeFrame, FrameReader } from '../../daemon/protocol/frames.ts';
import { protocolVersion } from '../../daemon/protocol/version.ts';

export interface Message {
  readonly id?: number | null;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
  readonly event?: string;
  readonly data?: unknown;
}

export class RawClient {
  readonly socket: Socket;
  /** Everything that came and was not asked for yet. */
  readonly #came: Message[] = [];
  readonly #reader = new FrameReader();
  #wake: () => void = () => undefined;
  #ended = false;

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.on('data', (chunk: Buffer) => {
      for (const body of this.#reader.push(chunk)) this.#came.push(decodeBody(body) as Message);
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  static async greeted(path: string): Promise<RawClient> {
    const client = new RawClient(path);
    await client.hello();
    return client;
  }

  async hello(): Promise<void> {
    this.send({ id: 0, method: 'hello', params: { client: 'raw', ...protocolVersion } });
    const answer = await this.next();
    if (answer?.result === undefined) throw new Error(`not greeted: ${JSON.stringify(answer)}`);
  }

  send(value: unknown): void {
    this.socket.write(encodeFrame(value));
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The next message, or undefined when the connection has ended. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const message = this.#came.shift();
      if (message !== undefined || this.#ended) return message;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The answer to a request, without the events before it. */
  async call(id: number, method: string, params: unknown = {}): Promise<Message | undefined> {
    this.send({ id, method, params });
    for (;;) {
      const message = await this.next();
      if (message === undefined || (message.id === id && message.event === undefined)) return message;
    }
  }

  /** Resolves when the connection has ended, with what came before. */
  async ended(): Promise<Message[]> {
    const messages: Message[] = [];
    for (let message = await this.next(); message !== undefined; message = await this.next()) {
      messages.push(message);
    }
    return messages;
  }

  close(): void {
    this.socket.destroy();
  }
}
