/** What the kernel shows of controllers of NVMe over fabrics, and of the namespaces behind them.
 *  Promises: only reads; a namespace is looked for in the folder of its controller, as names of disks are used again. Controllers of
 *  ours are known again by a mark that the kernel keeps, whichever attachment has made them, and without any record.
 *  Source: Linux, drivers/nvme/host (sysfs.c, multipath.c). */

import { join } from 'node:path';
import { namesIn, readText } from '../../block-names.ts';
import type { PathState } from '../connector.ts';
import { type NvmeNamespace, nguidOf, type Portal, uuidOf } from './address.ts';

export interface Namespace {
  /** "nvme0n1", without the controller in it. */
  readonly disk: string;
  readonly nsid: number;
  readonly uuid: string | null;
  readonly nguid: string | null;
  /** Where the host has several ways. */
  readonly ana: string | null;
}

/** What every controller of ours is connected with. After so many delays it is given up: an unusual number, and the mark. */
export const reconnectSeconds = 3;
export const lossSeconds = 11 * reconnectSeconds;

export interface Controller {
  /** "nvme0" */
  readonly name: string;
  readonly nqn: string;
  readonly state: string;
  readonly host: string;
  readonly port: number;
  /** As whom this host has connected; empty where the kernel does not say. */
  readonly hostNqn: string;
  readonly isOurs: boolean;
  readonly namespaces: readonly Namespace[];
}

const text = async (folder: string, file: string): Promise<string> =>
  ((await readText(join(folder, file))) ?? '').trim();

async function namespaceIn(folder: string, name: string): Promise<Namespace | undefined> {
  const match = /^(nvme\d+)(?:c\d+)?(n\d+)$/.exec(name);
  const nsid = Number(await text(join(folder, name), 'nsid'));
  if (match === null || !(nsid > 0)) return undefined;
  const at = join(folder, name);
  return {
    disk: `${match[1]}${match[2]}`,
    nsid,
    uuid: uuidOf(await text(at, 'uuid')) ?? null,
    nguid: nguidOf(await text(at, 'nguid')) ?? null,
    ana: (await text(at, 'ana_state')) || null,
  };
}

export async function controllers(sys: string): Promise<Controller[]> {
  const found: Controller[] = [];
  for (const name of (await namesIn(join(sys, 'class/nvme'))).sort()) {
    const folder = join(sys, 'class/nvme', name);
    const address = new URLSearchParams((await text(folder, 'address')).replaceAll(',', '&'));
    const host = address.get('traddr');
    if (host === null || (await text(folder, 'transport')) !== 'tcp') continue;
    const entries = await Promise.all((await namesIn(folder)).map((entry) => namespaceIn(folder, entry)));
    found.push({
      name,
      nqn: await text(folder, 'subsysnqn'),
      state: await text(folder, 'state'),
      host,
      port: Number(address.get('trsvcid')),
      hostNqn: await text(folder, 'hostnqn'),
      isOurs: (await text(folder, 'ctrl_loss_tmo')) === String(lossSeconds),
      namespaces: entries.filter((one) => one !== undefined),
    });
  }
  return found;
}

/** Those of this host, by the name that it gave itself. */
export const isAt =
  (nqn: string, hostNqn: string | null, { host, port }: Portal) =>
  (one: Controller): boolean =>
    one.nqn === nqn &&
    one.host === host &&
    one.port === port &&
    (hostNqn === null || one.hostNqn === '' || one.hostNqn === hostNqn);

/** On its way out: nothing comes of it any more. */
export const isGoing = ({ state }: Controller): boolean => state.startsWith('deleting') || state === 'dead';

export const isNamespace = (wanted: NvmeNamespace, { uuid, nguid, nsid }: Namespace): boolean =>
  (wanted.uuid === null || wanted.uuid === uuid) &&
  (wanted.nguid === null || wanted.nguid === nguid) &&
  (wanted.nsid === null || wanted.nsid === nsid);

export function stateOf({ state }: Controller, { ana }: Namespace): PathState {
  if (state !== 'live') return 'failed';
  if (ana === null || ana === 'optimized') return 'active';
  if (ana === 'non-optimized') return 'enabled';
  return ana === 'inaccessible' || ana === 'persistent-loss' ? 'failed' : 'unknown';
}
