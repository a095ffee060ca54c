/** What holds for every connector: a new one adds a file that calls this with a storage to attach from.
 *  Promises: what the contract breaks is left to nobody: what a test leaves attached is detached from its journal. */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readMountTable } from '../../daemon/base/mount-table.ts';
import type { AttachPolicy, Built, Connection, Connector } from '../../daemon/devices/connect/connector.ts';
import { compareIdentity } from '../../daemon/devices/connect/identity.ts';
import { contextForTest, type TestContext, type TestContextOptions } from '../support/connect.ts';
import { faultOf } from '../support/devices.ts';

export interface ConnectorUnderTest {
  readonly connector: Connector;
  /** Leads to a volume with these bytes, which nobody uses. */
  readonly url: string;
  readonly bytes: Buffer;
  /** Words that nobody may be told. */
  readonly secrets: readonly string[];
  readonly policy?: Partial<AttachPolicy>;
  /** What is on this host of its making, beside what is in the folder of the attachment. */
  readonly left: () => Promise<readonly string[]> | readonly string[];
}

/** More entries than any connector journals. */
const entriesMax = 16;

async function leftIn({ folder }: TestContext): Promise<string[]> {
  const mounts = (await readMountTable()).filter(({ directory }) => directory.startsWith(folder));
  return [
    ...mounts.map(({ directory }) => `mount ${directory}`),
    ...(existsSync(folder) ? readdirSync(folder) : []),
  ];
}

interface World extends ConnectorUnderTest {
  readonly connection: Connection;
  readonly context: TestContext;
  readonly attached: () => ReturnType<Connector['attach']>;
  readonly detach: (built?: Built) => Promise<void>;
  readonly everythingLeft: () => Promise<readonly string[]>;
}

/** `make` is called in each test. */
export function connectorContract(
  name: string,
  make: () => Promise<ConnectorUnderTest>,
  /** Of a test, where an attach takes seconds and there are many ends to try. */
  timeoutMs?: number,
): void {
  const world = async (options: TestContextOptions = {}): Promise<World> => {
    const made = await make();
    const { connector } = made;
    const context = contextForTest(made.policy === undefined ? options : { ...options, policy: made.policy });
    const connection = connector.parseUrl(made.url);
    const detach = (built = context.journaled.at(-1) ?? {}) => connector.detach(connection, built, context);
    onTestFinished(() => detach());
    const everythingLeft = async () => [...(await leftIn(context)), ...(await made.left())];
    return {
      ...made,
      connection,
      context,
      detach,
      everythingLeft,
      attached: () => connector.attach(connection, context),
    };
  };
  describe(name, () => {
    lifeContract(world);
    brokenContract(world, timeoutMs);
  });
}

type MakeWorld = (options?: TestContextOptions) => Promise<World>;

function lifeContract(world: MakeWorld): void {
  test('its URL is read back to the same device, and tells no secret', async () => {
    const { connector, connection, secrets } = await world();
    const url = connector.format(connection);
    expect(connector.key(connector.parseUrl(url))).toBe(connector.key(connection));
    for (const secret of secrets) expect(url + connector.key(connection)).not.toContain(secret);
  });

  test('attached, it is what was asked for, also at the next look; detached, it is gone, twice', async () => {
    const { connector, connection, context, ...made } = await world();
    const { built, ...attached } = await made.attached();
    expect(context.journaled.at(-1)).toEqual(built);
    expect(attached.identity.sizeBytes).toBe(made.bytes.length);
    expect(readFileSync(attached.device).equals(made.bytes)).toBe(true);
    const isBlock = statSync(attached.device).isBlockDevice();
    expect(attached.number === null).toBe(!isBlock);
    expect(attached.paths.length).toBeGreaterThan(0);
    for (const { state, identity } of attached.paths) {
      expect(['active', 'enabled']).toContain(state);
      if (identity !== null) expect(compareIdentity(attached.identity, identity)).toEqual({ same: true });
    }
    expect([...attached.identity.names]).toEqual([...attached.identity.names].sort());
    expect(await connector.observe(connection, built, context)).toEqual(attached);
    const { built: rescanned, ...again } = await connector.rescan(connection, built, context);
    expect(again).toEqual(attached);
    await made.detach(rescanned);
    expect(await made.everythingLeft()).toEqual([]);
    await made.detach(rescanned);
    expect((await faultOf(connector.observe(connection, built, context))).code).toMatch(
      /^(DEVICE_FAILED|ATTACH_FAILED)$/,
    );
  });

  test('no secret is in what is journaled or noted', async () => {
    const { context, secrets, attached } = await world();
    await attached();
    const said = JSON.stringify([context.journaled, context.notes]);
    for (const secret of secrets) expect(said).not.toContain(secret);
  });
}

function brokenContract(world: MakeWorld, timeoutMs?: number): void {
  const limit = timeoutMs === undefined ? {} : { timeout: timeoutMs };
  test(
    'ended at any entry of its journal, it leaves nothing that the entry before does not undo',
    limit,
    async () => {
      for (let at = 1; at <= entriesMax; at += 1) {
        const beforeJournal = (number: number) => {
          if (number === at) throw new Error('the journal is full');
        };
        const { context, ...made } = await world({ beforeJournal });
        const ended = await made.attached().then(
          () => undefined,
          (thrown: unknown) => String(thrown),
        );
        if (ended !== undefined) expect(ended).toContain('the journal is full');
        // As the next daemon does, which knows what was journaled and nothing else.
        await made.detach(JSON.parse(JSON.stringify(context.journaled.at(-1) ?? {})) as Built);
        expect(await made.everythingLeft(), `ended at entry ${at}`).toEqual([]);
        if (ended === undefined) {
          expect(at).toBeGreaterThan(1);
          return;
        }
      }
      throw new Error(`it journals more than ${entriesMax} times`);
    },
  );

  test('called off at any moment, it leaves nothing behind that a detach does not undo', async () => {
    for (const afterMs of [0, 20, 100]) {
      const { connector, connection, context, ...made } = await world();
      const off = AbortSignal.timeout(afterMs);
      await connector.attach(connection, { ...context, signal: off }).catch(() => undefined);
      await made.detach();
      expect(await made.everythingLeft(), `called off after ${afterMs} ms`).toEqual([]);
    }
  });
}
