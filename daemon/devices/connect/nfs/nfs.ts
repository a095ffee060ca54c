/** Files in shares of NFS and GlusterFS: raw ones as they are, qcow2 images as a file that QEMU shows.
 *  Promises: beside those of every connector, nothing outside of the share is ever opened, whatever its files say; an image that a
 *  virtual machine has open is refused. */

import { join } from 'node:path';
import { z } from 'zod';
import { mountedAt } from '../../../base/mount-table.ts';
import { type BridgeBuilt, bridgeShape, bridgeSize, closeBridge, openBridge } from '../bridge/bridge.ts';
import { type StallLimits, stallLimits, stopWatch } from '../bridge/stall-watch.ts';
import type { Attached, Built, ConnectContext, Connection, Connector, Observation } from '../connector.ts';
import { readChain } from '../qcow2/chain.ts';
import { attachFailed, deviceFailed } from '../trouble.ts';
import {
  formatShareUrl,
  parseShareInfo,
  parseShareUrl,
  type ShareFile,
  shareFile,
  shareKey,
  shareName,
} from './address.ts';
import { type FoundFile, findFile } from './file.ts';
import { checkImageLock } from './image-lock.ts';
import { locksAreLocal } from './options.ts';
import { mountShare, unmountShare, watchShare } from './share.ts';

const builtShape = z.object({
  /** A folder, which exists only for the mount on it. */
  share: z.string().optional(),
  bridge: bridgeShape.optional(),
});

const format = (connection: Connection): string => formatShareUrl(shareFile(connection));

/** The number of a file is its server's, and lasts as long as the file. */
function identityOf(file: ShareFile, { inode }: FoundFile, sizeBytes: number) {
  const name = `${shareName(file)}#${inode}`;
  return { names: [name], serial: null, sizeBytes, blockBytes: 512 };
}

function observation(connection: Connection, found: FoundFile, bridge?: BridgeBuilt, sizeBytes?: number) {
  const device = bridge?.file ?? found.path;
  const identity = identityOf(shareFile(connection), found, sizeBytes ?? found.sizeBytes);
  const path = { device, number: null, via: format(connection), state: 'active', identity } as const;
  return { device, number: null, identity, paths: [path], map: null } satisfies Observation;
}

async function showImage(connection: Connection, share: string, context: ConnectContext) {
  const what = format(connection);
  const image = await readChain(share, shareFile(connection).name);
  if (typeof image === 'string') throw attachFailed(what, image);
  const { sizeBytes, ...bridge } = await openBridge({
    what,
    source: { node: image.node, writable: context.access === 'write' },
    context,
    journal: (made) => context.journal({ share, bridge: made }),
  });
  if (sizeBytes !== image.sizeBytes)
    throw attachFailed(what, `it has ${sizeBytes} bytes, and its header says ${image.sizeBytes}`);
  return { bridge, sizeBytes };
}

async function attach(
  connection: Connection,
  context: ConnectContext,
  limits: StallLimits,
): Promise<Attached> {
  const what = format(connection);
  const file = shareFile(connection);
  const share = join(context.folder, 'share');
  await context.journal({ share });
  await mountShare(what, file, share, context);
  watchShare(share, join(share, file.name), context, limits);
  const found = await findFile(share, file.name);
  if (typeof found === 'string') throw attachFailed(what, found);
  if (found.sizeBytes === 0) throw attachFailed(what, 'it has no bytes');
  if (locksAreLocal(file.options))
    context.note('Mounted without locks: who else uses the file can not be told');
  await checkImageLock(what, file.format, found.path, context);
  if (file.format === 'raw') return { ...observation(connection, found), built: { share } };
  const { bridge, sizeBytes } = await showImage(connection, share, context);
  return { ...observation(connection, found, bridge, sizeBytes), built: { share, bridge } };
}

async function observe(connection: Connection, built: Built): Promise<Observation> {
  const what = format(connection);
  const { share, bridge } = builtShape.parse(built);
  if (share === undefined || (await mountedAt(share)) === undefined)
    throw deviceFailed(what, 'its share is not mounted any more');
  const found = await findFile(share, shareFile(connection).name);
  if (typeof found === 'string') throw deviceFailed(what, found);
  if (bridge === undefined) return observation(connection, found);
  return observation(connection, found, bridge, await bridgeSize(what, bridge));
}

/** A raw file shows its new size by itself; an image has to be opened anew. */
async function rescan(connection: Connection, built: Built, context: ConnectContext): Promise<Attached> {
  const { share, bridge } = builtShape.parse(built);
  const seen = await observe(connection, built);
  if (share === undefined || bridge === undefined) return { ...seen, built };
  const image = await readChain(share, shareFile(connection).name);
  if (typeof image === 'string') throw deviceFailed(format(connection), image);
  if (image.sizeBytes === seen.identity.sizeBytes) return { ...seen, built };
  context.note(`It has ${image.sizeBytes} bytes now: opening it anew`);
  await closeBridge(format(connection), bridge, context);
  const again = { share, bridge: (await showImage(connection, share, context)).bridge };
  return { ...(await observe(connection, again)), built: again };
}

async function detach(connection: Connection, built: Built, context: ConnectContext): Promise<void> {
  const { share, bridge } = builtShape.parse(built);
  if (bridge !== undefined) await closeBridge(format(connection), bridge, context);
  if (share === undefined) return;
  await unmountShare(format(connection), share, context);
  stopWatch(join(share, shareFile(connection).name));
}

export const nfsConnector = (limits: StallLimits = stallLimits): Connector => ({
  kind: 'nfs',
  schemes: ['glusterfs'],
  driverTypes: ['nfs', 'glusterfs'],
  summary: 'A file in a share of NFS (or GlusterFS: glusterfs://HOST/VOLUME/FILE), raw or with ?format=qcow2',
  example: 'nfs://10.0.0.5/srv/volumes/volume-1',
  needs: ['nfs-common'],
  parseUrl: parseShareUrl,
  parseInfo: (data, { driverType }) => parseShareInfo(data, driverType === 'glusterfs' ? 'glusterfs' : 'nfs'),
  format,
  key: (connection) => shareKey(shareFile(connection)),
  attach: (connection, context) => attach(connection, context, limits),
  observe,
  rescan,
  detach,
});
