/** A storage that is a folder, and a connector to it, for what no real one can be made to do at will: to end in the middle of a step,
 *  to fail, to hang, to show another volume under the same name.
 *    storage/volumes/NAME (bytes, and who it is) ─attach▶ host/session-PORTAL, host/NAME.img ─detach▶ nothing
 *  Promises: keeps the contract of connectors where it is not told to break it; what is left on the "host" can be listed. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type {
  ConnectContext,
  Connection,
  Connector,
  DeviceIdentity,
  Observation,
} from '../../daemon/devices/connect/connector.ts';
import { attachFailed, deviceLeft } from '../../daemon/devices/connect/trouble.ts';

export const steps = [
  'journal login',
  'login',
  'journal disk',
  'disk',
  'identity',
  'delete',
  'logout',
] as const;
export type Step = (typeof steps)[number];

const textIn = (values: Connection, key: string): string => {
  const value = values[key];
  return typeof value === 'string' ? value : '';
};
const nameIn = (connection: Connection): string => textIn(connection, 'name');

export class FakeStorage {
  readonly folder: string;
  /** Called before each step; what it throws fails the step. */
  before: (step: Step, context: ConnectContext) => Promise<void> | void = () => undefined;
  readonly done: Step[] = [];

  constructor(folder: string) {
    this.folder = folder;
    for (const name of ['volumes', 'host']) mkdirSync(join(folder, name), { recursive: true });
  }

  /** Shows a volume; under a name that is in use it takes the place of the other one. */
  show(name: string, bytes: Buffer, identity = `naa.${name}`): void {
    writeFileSync(this.volume(name), bytes);
    writeFileSync(`${this.volume(name)}.identity`, identity);
  }

  /** What is attached for reading is a snapshot. */
  frozen = false;

  /** Ways that no attach can bring up. */
  down: readonly string[] = [];

  volume = (name: string): string => join(this.folder, 'volumes', name);

  /** What attachments have made and not unmade. */
  left = (): string[] => readdirSync(join(this.folder, 'host')).sort();

  connector(): Connector {
    const host = (name: string) => join(this.folder, 'host', name);
    const image = (connection: Connection) => host(`${nameIn(connection)}.img`);
    const session = (id: string) => host(`session-${id}`);
    const step = async (which: Step, context: ConnectContext, work: () => void) => {
      await this.before(which, context);
      context.signal.throwIfAborted();
      work();
      this.done.push(which);
    };
    const observe = async (connection: Connection, context: ConnectContext): Promise<Observation> => {
      await step('identity', context, () => undefined);
      const path = image(connection);
      if (!existsSync(path)) throw attachFailed(nameIn(connection), 'it is not there');
      const identity: DeviceIdentity = {
        names: [readFileSync(`${this.volume(nameIn(connection))}.identity`, 'utf8')],
        serial: null,
        sizeBytes: statSync(path).size,
        blockBytes: 512,
      };
      const way = { device: path, number: null, via: 'folder', state: 'active', identity } as const;
      return { device: path, number: null, identity, paths: [way], map: null };
    };
    return {
      kind: 'fake',
      driverTypes: ['fake'],
      summary: 'a folder',
      example: 'fake://user:secret@portal/volume',
      needs: [],
      parseUrl: (text) => {
        const { hostname, pathname, password } = new URL(text);
        return { portal: hostname, name: pathname.slice(1), password };
      },
      parseInfo: (data) => ({ ...(data as Connection) }),
      format: (connection) => `fake://${textIn(connection, 'portal')}/${nameIn(connection)}`,
      key: (connection) => `${textIn(connection, 'portal')}/${nameIn(connection)}`,
      admits: (held, asked) => textIn(held, 'password') === textIn(asked, 'password'),
      frozen: () => this.frozen,
      attach: async (connection, context) => {
        const built = { session: context.id };
        await step('journal login', context, () => undefined);
        await context.journal(built);
        context.note('the login');
        await step('login', context, () => writeFileSync(session(context.id), ''));
        await step('journal disk', context, () => undefined);
        await context.journal({ ...built, disk: nameIn(connection) });
        await step('disk', context, () => copyFileSync(this.volume(nameIn(connection)), image(connection)));
        const seen = await observe(connection, context);
        const lost = this.down.map(
          (via) => ({ device: null, number: null, via, state: 'missing', identity: null }) as const,
        );
        const paths = [...seen.paths, ...lost];
        return { ...seen, paths, built: { ...built, disk: nameIn(connection) } };
      },
      observe: (connection, _, context) => observe(connection, context),
      rescan: async (connection, built, context) => ({ ...(await observe(connection, context)), built }),
      leftovers: async (known) => {
        const ours = new Set(known.map((built) => `session-${textIn(built, 'session')}`));
        return this.left()
          .filter((name) => name.startsWith('session-') && !ours.has(name))
          .map((name) => ({
            what: name,
            connection: { portal: 'portal', name: 'unknown' },
            built: { session: name.slice('session-'.length) },
          }));
      },
      detach: async (connection, built, context) => {
        try {
          if (built['disk'] !== undefined)
            await step('delete', context, () => rmSync(image(connection), { force: true }));
          await step('logout', context, () => rmSync(session(textIn(built, 'session')), { force: true }));
        } catch (thrown) {
          throw deviceLeft(nameIn(connection), this.left(), String(thrown));
        }
      },
    };
  }
}
