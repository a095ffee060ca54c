/** A connector in the hands of a test, without a daemon: what it journals and says is kept, and keys are held one at a time.
 *  Attachments of one agent know of one another, as those of a daemon do.
 *  Promises: what the test leaves attached is detached when it has finished, from the journal alone. */

import { onTestFinished } from 'vitest';
import type {
  Attached,
  AttachPolicy,
  Built,
  Connection,
  Connector,
  Observation,
} from '../../../daemon/devices/connect/connector.ts';
import { createProbe } from '../../../daemon/devices/connect/probe.ts';
import { native } from '../../../native/native.ts';
import { contextForTest, type TestContext } from '../../support/connect.ts';

const severalPaths: AttachPolicy = {
  multipath: true,
  enforceMultipath: true,
  pathsMin: 1,
  scanAttempts: 3,
  timeoutMs: 120_000,
};

const held = new Map<string, Promise<unknown>>();

async function alone<T>(key: string, task: () => Promise<T>): Promise<T> {
  const turn = (held.get(key) ?? Promise.resolve()).then(task, task);
  held.set(
    key,
    turn.catch(() => undefined),
  );
  return turn;
}

const attached = new Set<Attachment>();

export class Attachment {
  readonly connection: Connection;
  readonly context: TestContext;
  readonly agent: string;
  readonly #connector: Connector;
  #gone = false;

  /** `where`: a URL, or `data` of a connection_info. */
  constructor(
    connector: Connector,
    where: string | object,
    policy: Partial<AttachPolicy> = {},
    agent = 'first',
  ) {
    this.agent = agent;
    this.#connector = connector;
    this.connection =
      typeof where === 'string'
        ? connector.parseUrl(where)
        : connector.parseInfo(where, { driverType: connector.kind });
    const others = () =>
      [...attached].filter((one) => one !== this && one.agent === agent).map(({ built }) => built);
    const context = contextForTest({ access: 'write', policy: { ...severalPaths, ...policy }, others });
    attached.add(this);
    this.context = { ...context, alone, probe: createProbe(native, { askMs: 8_000, orderMs: 60_000 }) };
    onTestFinished(async () => {
      if (!this.#gone) await this.detach();
      attached.delete(this);
    });
  }

  get built(): Built {
    return this.context.journaled.at(-1) ?? {};
  }

  attach = (): Promise<Attached> => this.#connector.attach(this.connection, this.context);
  observe = (): Promise<Observation> => this.#connector.observe(this.connection, this.built, this.context);
  rescan = (): Promise<Attached> => this.#connector.rescan(this.connection, this.built, this.context);

  async detach(): Promise<void> {
    await this.#connector.detach(this.connection, this.built, this.context);
    this.#gone = true;
    attached.delete(this);
  }
}
