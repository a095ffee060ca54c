/** Volumes of LVM: an attach switches the volume on where it is off, a detach switches off what the attach has switched on.
 *  Promises: the volume is known by the uuids that LVM gave it and its group; of LVM itself nothing is attached, nor a snapshot whose
 *  bytes are lost; a volume that was on before stays on, and one that somebody has open by now, too. */

import { Fault } from '../../../base/faults.ts';
import type { Attached, Built, ConnectContext, Connection, Connector, Observation } from '../connector.ts';
import { bootId } from '../scsi/built.ts';
import { attachFailed, deviceBusy, wrongDevice } from '../trouble.ts';
import { activate, deactivate } from './commands.ts';
import { deviceOf } from './device.ts';
import { formatVolumeUrl, parseVolumeUrl, type VolumeName, wordOf } from './names.ts';
import { findVolume, type LogicalVolume } from './report.ts';

export const lvmConnector: Connector = {
  kind: 'lvm',
  // Cinder's own driver of LVM exports its volumes over a network, or as local paths.
  driverTypes: [],
  summary: 'A volume of LVM on this host, switched on while it is needed.',
  example: 'lvm:vg0/shop',
  needs: ['lvm2', 'dmsetup'],
  parseUrl: (text) => ({ ...parseVolumeUrl(text) }),
  parseInfo: () => {
    throw new Fault('INVALID_ARGUMENT', 'Cannot attach a volume of LVM by its connection_info: it has none');
  },
  format: (connection) => formatVolumeUrl(nameIn(connection)),
  key: (connection) => wordOf(nameIn(connection)),
  attach,
  observe,
  rescan: async (connection, built, context) => ({ ...(await observe(connection, built, context)), built }),
  detach,
};

/** What the connection was parsed to, read back from a journal. */
function nameIn({ group, volume }: Connection): VolumeName {
  if (typeof group === 'string' && typeof volume === 'string')
    return parseVolumeUrl(`lvm:${group}/${volume}`);
  throw new Fault('INVALID_ARGUMENT', 'Cannot use a connection to a volume of LVM: it names none');
}

const idOf = ({ groupId, volumeId }: LogicalVolume): string => `${groupId}.${volumeId}`;

async function attach(connection: Connection, context: ConnectContext): Promise<Attached> {
  const { tools, signal } = context;
  const name = nameIn(connection);
  const what = formatVolumeUrl(name);
  // Two that switch it on at a time would not know who is to switch it off.
  return context.alone(`lvm ${wordOf(name)}`, async () => {
    const found = await findVolume(tools, name);
    if (found === undefined) throw attachFailed(what, 'its volume group has no such volume');
    if (found.unusable !== undefined) throw attachFailed(what, found.unusable);
    signal.throwIfAborted();
    const built: Built = { id: idOf(found), activated: found.number === null, boot: await bootId() };
    await context.journal(built);
    const active = found.number === null ? await activate(tools, name) : found;
    return { ...(await observationOf(what, active, context)), built };
  });
}

async function observe(connection: Connection, built: Built, context: ConnectContext): Promise<Observation> {
  const name = nameIn(connection);
  const what = formatVolumeUrl(name);
  const found = await findVolume(context.tools, name);
  if (found === undefined) throw failed(what, 'it is not there any more');
  if (idOf(found) !== built['id']) throw wrongDevice(what, 'another volume has its name by now');
  return observationOf(what, found, context);
}

async function observationOf(
  what: string,
  found: LogicalVolume,
  { probe }: ConnectContext,
): Promise<Observation> {
  const device = await deviceOf(found);
  if (device === undefined) throw failed(what, 'it is not active');
  const names = [`lvm.${idOf(found)}`];
  const identity = { names, serial: null, ...(await probe.size(device)) };
  const { number } = found;
  const path = { device, number, via: wordOf(found), state: 'active', identity } as const;
  return { device, number, identity, paths: [path], map: null };
}

const failed = (what: string, why: string): Fault =>
  new Fault('DEVICE_FAILED', `Cannot use "${what}": ${why}`);

async function detach(connection: Connection, built: Built, context: ConnectContext): Promise<void> {
  if (built['activated'] !== true) return;
  // After a restart of the host it is on because the host, or somebody else, has switched it on.
  if (built['boot'] !== (await bootId())) return;
  const { tools } = context;
  const name = nameIn(connection);
  await context.alone(`lvm ${wordOf(name)}`, async () => {
    const found = await findVolume(tools, name);
    // Gone, or another one that has the name by now.
    if (found === undefined || idOf(found) !== built['id']) return;
    if (found.open) await new Promise((resolve) => setTimeout(resolve, openPatienceMs));
    await deactivate(tools, name).catch(async (thrown: unknown) => {
      const now = await findVolume(tools, name);
      if (now?.open === true) throw deviceBusy(formatVolumeUrl(name), ['somebody has it open']);
      throw thrown;
    });
  });
}

/** udev may just look into it. */
const openPatienceMs = 200;
