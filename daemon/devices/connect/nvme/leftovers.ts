/** Finds controllers that attachments of a lost catalog have left: by the mark that the kernel keeps of each of ours.
 *  Promises: changes nothing. One that had to stay because of another namespace that it shows is among them: whether that one is used by
 *  now is asked when it is to be cleared away. */

import type { Built, ConnectContext, Leftover } from '../connector.ts';
import { formatEndpoint } from '../url-parts.ts';
import type { NvmeNamespace } from './address.ts';
import { type NvmeBuilt, saved, sharedEntry } from './built.ts';
import { type Controller, controllers } from './controllers.ts';

function leftoverOf(one: Controller): Leftover {
  const { name, nqn, host, port, hostNqn, namespaces } = one;
  const [first] = [...namespaces].sort((a, b) => a.nsid - b.nsid);
  const nsid = first?.nsid ?? 1;
  const at = { host, port };
  const connection: NvmeNamespace = {
    nqn,
    portals: [at],
    uuid: first?.uuid ?? null,
    nguid: first?.nguid ?? null,
    nsid,
    hostNqn: hostNqn === '' ? null : hostNqn,
  };
  const built: NvmeBuilt = {
    nqn,
    hostNqn: connection.hostNqn,
    nsid,
    names: [],
    made: [{ ...at, beside: 'any' }],
  };
  const disks = namespaces.map(({ disk }) => `/dev/${disk}`).sort();
  const shown = disks.length === 0 ? 'without a namespace' : `with ${disks.join(', ')}`;
  const what = `controller "${name}" to ${nqn} at ${formatEndpoint(at)}, ${shown}`;
  return { what, connection: { ...connection, portals: [at] }, built: saved(built) };
}

export async function leftovers(known: readonly Built[], { folders }: ConnectContext): Promise<Leftover[]> {
  const ours = (await controllers(folders.sys)).filter(({ isOurs }) => isOurs);
  return ours.filter((one) => sharedEntry(known, one.nqn, one) === undefined).map(leftoverOf);
}
