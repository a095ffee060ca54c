/** Exports of NBD servers, shown as a file by a program in user space.
 *  Promises: beside those of every connector, a source is attached in a way that can't write. NBD knows neither names that last nor
 *  locks: what is behind an export, and who else writes to it, is known to its server alone. */

import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import { type BridgeBuilt, bridgeShape, bridgeSize, closeBridge, openBridge } from '../bridge/bridge.ts';
import type { StallLimits } from '../bridge/stall-watch.ts';
import type { Attached, Built, ConnectContext, Connection, Connector, Observation } from '../connector.ts';
import { attachFailed, attachRefused, deviceFailed } from '../trouble.ts';
import { formatNbdUrl, nbdAddress, nbdNode, parseNbdUrl } from './address.ts';
import { askNbd, type NbdExport } from './ask.ts';

const builtShape = z.object({ bridge: bridgeShape.optional() });

const format = (connection: Connection): string => formatNbdUrl(nbdAddress(connection));

function observation(url: string, { file }: BridgeBuilt, said: NbdExport, sizeBytes: number): Observation {
  const identity = { names: [], serial: null, sizeBytes, blockBytes: said.blockBytes };
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
  const { sizeBytes, ...bridge } = await openBridge({
    what: url,
    source: { node: nbdNode(nbdAddress(connection)), uri: url, writable },
    context,
    journal: (made) => context.journal({ bridge: made }),
    ...(limits === undefined ? {} : { limits }),
  });
  if (sizeBytes !== said.sizeBytes)
    throw attachFailed(url, `it has ${sizeBytes} bytes, and its server says ${said.sizeBytes}`);
  return { ...observation(url, bridge, said, sizeBytes), built: { bridge } };
}

async function observe(connection: Connection, built: Built, context: ConnectContext): Promise<Observation> {
  const url = format(connection);
  const { bridge } = builtShape.parse(built);
  if (bridge === undefined) throw deviceFailed(url, 'it was never attached wholly');
  const sizeBytes = await bridgeSize(url, bridge);
  return observation(url, bridge, await askNbd(url, context), sizeBytes);
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
    return { ...observation(format(connection), bridge, said, running), built };
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
  key: format,
  attach: (connection, context) => attach(connection, context, limits),
  observe,
  rescan: (connection, built, context) => rescan(connection, built, context, limits),
  detach,
});
