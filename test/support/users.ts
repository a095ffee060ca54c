/** Clients of a real daemon that the kernel takes for other users.
 *  Promises: the test goes on as the user that it was. */

import { chmodSync } from 'node:fs';
import type { Daemon } from './daemon.ts';
import { type Message, RawClient } from './raw-client.ts';

/** A connection whose credentials are those of `uid`: the kernel takes them when it is made. */
export async function clientOf(daemon: Daemon, uid: number): Promise<RawClient> {
  // Neither folders nor the socket shall keep anybody out here: it is the daemon that is asked.
  for (const folder of [daemon.folder, daemon.stateDir]) chmodSync(folder, 0o755);
  chmodSync(daemon.socketPath, 0o666);
  const { setegid, seteuid } = process;
  if (setegid === undefined || seteuid === undefined) throw new Error('users can not be changed here');
  setegid(uid);
  seteuid(uid);
  let client: RawClient;
  try {
    client = new RawClient(daemon.socketPath);
  } finally {
    seteuid(0);
    setegid(0);
  }
  await client.hello();
  return client;
}

/** Asks and keeps everything that was heard, answers and events. */
export class Listener {
  readonly heard: Message[] = [];
  readonly #client: RawClient;
  #id = 0;

  constructor(client: RawClient) {
    this.#client = client;
  }

  send(method: string, params: object): number {
    this.#id += 1;
    this.#client.send({ id: this.#id, method, params });
    return this.#id;
  }

  async ask(method: string, params: object): Promise<Message> {
    const id = this.send(method, params);
    for (;;) {
      const message = await this.#client.next();
      if (message === undefined) throw new Error(`the daemon closed the connection at "${method}"`);
      this.heard.push(message);
      if (message.id === id && message.event === undefined) return message;
    }
  }
}
