/** Where the bytes of a volume or a target are: on this host, or behind a device that has to be attached first.
 *  Promises: what may be secret of a connection stays in the record; everything else of the house sees the URL without it. */

import { Fault } from '../base/faults.ts';
import type { StoredConnection, VolumeRecord } from '../catalog/records.ts';
import type { Connectors, Location, RemoteLocation } from '../devices/connect/connectors.ts';

/** What a caller names: a URL or path, or a connection_info document. */
export interface GivenLocation {
  readonly source: string | undefined;
  readonly connection_info?: unknown;
}

/** INVALID_ARGUMENT, also where both are given or none. */
export function givenLocation(
  connectors: Connectors,
  { source, connection_info: info }: GivenLocation,
): Location {
  if (source !== undefined && info === undefined) return connectors.parse(source);
  if (source === undefined && info !== undefined) return connectors.parseInfo(info);
  throw new Fault(
    'INVALID_ARGUMENT',
    'Cannot tell where the device is: name a URL, or hand over a connection_info',
  );
}

/** INVALID_ARGUMENT where the storage says that the bytes are encrypted, and nobody says by which key: a backup that does not name it
 *  can't be opened once the storage has forgotten the volume, and with it the key. `what`: "add volume "web"". */
export function requireKey({ encrypted }: Location, key: string | null, what: string): void {
  if (encrypted !== true || key !== null) return;
  throw new Fault('INVALID_ARGUMENT', `Cannot ${what}: its bytes are encrypted, and no key is named`, {
    hint: 'Name the key that Cinder has for the volume (its encryption_key_id): basaltctl volume add --encryption-key-id',
  });
}

/** One that was recorded. */
export function storedLocation(
  connectors: Connectors,
  { source, connection: stored }: { readonly source: string; readonly connection: StoredConnection | null },
): Location {
  if (stored === null) return connectors.parse(source);
  const connector = connectors.of(stored.kind);
  const { connection, read_only: readOnly } = stored;
  return { where: 'attached', connector, connection, url: connector.format(connection), readOnly };
}

export const volumeLocation = (connectors: Connectors, volume: VolumeRecord): Location =>
  storedLocation(connectors, volume);

export const storedOf = ({ connector, connection, readOnly }: RemoteLocation): StoredConnection => ({
  kind: connector.kind,
  connection,
  read_only: readOnly,
});

/** The location, where something else than a device of this host can be there. SOURCE_UNUSABLE for who can't attach it. */
export const requireHere = (location: Location, what: string): string => {
  if (location.where === 'here') return location.url;
  throw new Fault('SOURCE_UNUSABLE', `Cannot ${what} "${location.url}": it is not on this host`);
};
