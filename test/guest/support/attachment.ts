/** A connector in the hands of a test, without a daemon: what it journals and says is kept, and keys are held one at a time.
 *  Promises: what the test leaves attached is detached when it has finished, from the journal alone. */

import { mkdtempSync, rmSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import {
  type Attached,
  type AttachPolicy,
  type Built,
  type ConnectContext,
  type Connection,
  type Connector,
  systemFolders,
} from '../../../daemon/devices/connect/connector.ts';
import { createProbe } from '../../../daemon/devices/connect/probe.ts';
import { systemTools } from '../../../daemon/devices/connect/tools.ts';
import { native } from '../../../native/native.ts';

const policyDefault: AttachPolicy = {
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

export class Attachment {
  readonly notes: string[] = [];
  /** Every state of the journal, the last one last. */
  readonly journal: Built[] = [];
  readonly connection: Connection;
  readonly #connector: Connector;
  readonly #context: ConnectContext;
  #gone = false;

  constructor(
    connector: Connector,
    url: string,
    policy: Partial<AttachPolicy> = {},
    more: Partial<ConnectContext> = {},
  ) {
    this.#connector = connector;
    this.connection = connector.parseUrl(url);
    const folder = mkdtempSync('/tmp/attachment-');
    this.#context = {
      tools: systemTools,
      folders: systemFolders,
      policy: { ...policyDefault, ...policy },
      signal: new AbortController().signal,
      access: 'write',
      id: folder.slice(-6),
      folder,
      probe: createProbe(native, { askMs: 8_000, orderMs: 60_000 }),
      journal: async (built) => void this.journal.push(JSON.parse(JSON.stringify(built))),
      note: (what) => {
        this.notes.push(what);
        if (process.env['BASALT_TEST_NOTES'])
          process.stderr.write(`${(performance.now() / 1000).toFixed(1)} ${what}\n`);
      },
      alone,
      ...more,
    };
    onTestFinished(async () => {
      if (!this.#gone) await this.detach();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  get built(): Built {
    return this.journal.at(-1) ?? {};
  }

  attach = (): Promise<Attached> => this.#connector.attach(this.connection, this.#context);
  observe = () => this.#connector.observe(this.connection, this.built, this.#context);
  rescan = (): Promise<Attached> => this.#connector.rescan(this.connection, this.built, this.#context);

  /** With what the journal held after its `step`-th change, or now. */
  async detach(step?: number): Promise<void> {
    const built = step === undefined ? this.built : (this.journal[step] ?? {});
    await this.#connector.detach(this.connection, built, this.#context);
    this.#gone = true;
  }
}
