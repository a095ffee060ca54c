/** Exports of NBD servers, shown as a file by a program in user space.
 *  Promises: beside those of every connector, a source is attached in a way that can't write, and one connection is enough; a
 *  connection that is lost is not made anew, as another volume may be behind the name by then: NBD knows neither names that last nor
 *  locks, and what is behind an export, and who else writes to it, is known to its server alone. */

import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import { type BridgeBuilt, bridgeShape, bridgeSize, closeBridge, openBridge } from '../bridge/bridge.ts';
import { anyReadable, type StallLimits } from '../bridge/stall-watch.ts';
import type {
  Attached,
  Built,
  ConnectContext,
  Connection,
  Connector,
  DeviceIdentity,
  Observation,
} from '../connector.ts';
import { attachFailed, attachRefused, deviceFailed } from '../trouble.ts';
import { formatNbdUrl, nbdAddress, nbdKey, nbdNode, parseNbdUrl } from './address.ts';
import { askNbd, type NbdExport } from './ask.ts';
import { dialNbd } from './dial.ts';

const builtShape = z.object({
  /** Of a logical block. */
  blockBytes: z.number().optional(),
  bridge: bridgeShape.optional(),
});
/** Of one small read while somebody waits. */
const lookLimitMs = 10_000;
/** A server may need that long to notice that its last client has gone. */
const againMs = 500;

const format = (connection: Connection): string => formatNbdUrl(nbdAddress(connection));

type Size = Pick<DeviceIdentity, 'sizeBytes' | 'blockBytes'>;

function observation(url: string, { file }: BridgeBuilt, { sizeBytes, blockBytes }: Size): Observation {
  const identity = { names: [], serial: null, sizeBytes, blockBytes };
  const path = { device: file, number: null, via: url, state: 'active', identity } as const;
  return { device: file, number: null, identity, paths: [path], map: null };
}

async function attach(
  connection: Connection,
  context: ConnectContext,
  limits: StallLimits | undefined,
): Promise<Attached> {
  const url = format(connection);
  const writable = context.access === 'write';
  context.note(`Asking the server of "${url}"`);
  const said = await askNbd(url, context);
  if (said.sizeBytes === 0) throw attachFailed(url, 'it has no bytes');
  if (writable && said.readOnly)
    throw attachRefused(
      url,
      'its server lets nobody write to it',
      'To read it only: basaltctl device attach --read-only; to restore to it, export it for writing',
    );
  const { sizeBytes, ...bridge } = await openExport(connection, context, said, limits);
  if (sizeBytes !== said.sizeBytes)
    throw attachFailed(url, `it has ${sizeBytes} bytes, and its server says ${said.sizeBytes}`);
  const { blockBytes } = said;
  return { ...observation(url, bridge, said), built: { blockBytes, bridge } };
}

/** At the second try with a single connection: some servers say that they take several, and don't. */
async function openExport(
  connection: Connection,
  context: ConnectContext,
  { blockBytes }: NbdExport,
  limits: StallLimits | undefined,
) {
  const [url, address] = [format(connection), nbdAddress(connection)];
  const served = { uri: url, dial: () => dialNbd(address, context) };
  let journaled: BridgeBuilt | undefined;
  const open = (more: { connections?: number }) =>
    openBridge({
      what: url,
      source: {
        node: nbdNode(address),
        served: { ...served, ...more },
        writable: context.access === 'write',
      },
      context,
      journal: async (bridge) => {
        await context.journal({ blockBytes, bridge });
        journaled = bridge;
      },
      ...(limits === undefined ? {} : { limits }),
    });
  try {
    return await open({});
  } catch (thrown) {
    const refused = thrown instanceof Fault && thrown.code === 'ATTACH_FAILED' && !context.signal.aborted;
    if (!refused || journaled === undefined) throw thrown;
    context.note('The server did not take the connection: once more');
    await closeBridge(url, journaled, context);
    await sleep(againMs, undefined, { signal: context.signal });
    return open({ connections: 1 });
  }
}

async function observe(connection: Connection, built: Built, context: ConnectContext): Promise<Observation> {
  const url = format(connection);
  const { bridge, blockBytes } = builtShape.parse(built);
  if (bridge === undefined || blockBytes === undefined)
    throw deviceFailed(url, 'it was never attached wholly');
  const sizeBytes = await bridgeSize(url, bridge);
  // Over the connection that there is: as long as it lives, what is behind it is the export that was attached.
  if (!(await anyReadable(context.tools, bridge.file, sizeBytes, lookLimitMs)))
    throw deviceFailed(url, 'nothing of it can be read any more');
  return observation(url, bridge, { sizeBytes, blockBytes });
}

async function detach(connection: Connection, built: Built, context: ConnectContext): Promise<void> {
  const { bridge } = builtShape.parse(built);
  if (bridge !== undefined) await closeBridge(format(connection), bridge, context);
}

/** The size of an export is said when the connection is made: another one is seen by a new connection only. */
async function rescan(
  connection: Connection,
  built: Built,
  context: ConnectContext,
  limits: StallLimits | undefined,
): Promise<Attached> {
  const { bridge } = builtShape.parse(built);
  const running = bridge === undefined ? undefined : await bridgeSize('', bridge).catch(() => undefined);
  const said = await askNbd(format(connection), context);
  if (bridge !== undefined && running === said.sizeBytes)
    return { ...observation(format(connection), bridge, said), built };
  context.note(`It has ${said.sizeBytes} bytes now: connecting anew`);
  await detach(connection, built, context);
  return attach(connection, context, limits);
}

export const nbdConnector = (limits?: StallLimits): Connector => ({
  kind: 'nbd',
  schemes: ['nbd+unix'],
  driverTypes: [],
  summary: 'An export of an NBD server, over TCP or a socket of this host (nbd+unix:///EXPORT?socket=PATH)',
  example: 'nbd://10.0.0.5:10809/disk1',
  needs: ['libnbd-bin'],
  parseUrl: parseNbdUrl,
  parseInfo: () => {
    throw new Fault('INVALID_ARGUMENT', 'Cannot use the connection_info: Cinder has none for NBD');
  },
  format,
  key: (connection) => nbdKey(nbdAddress(connection)),
  attach: (connection, context) => attach(connection, context, limits),
  observe,
  rescan: (connection, built, context) => rescan(connection, built, context, limits),
  detach,
});
