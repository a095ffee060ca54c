/** All connectors, and which of them a location means.
 *
 *    path or URL ────────────┐                  ┌▶ here: opened as it is (file, block, loop)
 *    connection_info (JSON) ─┴─▶ parseLocation ─┴▶ attached: by the connector of its scheme or `driver_volume_type`
 *
 *  Promises: a location that nobody can attach is refused with the kinds that there are; what is taken from a document is what
 *  Cinder puts there, in either of its two shapes. Knows nothing of any protocol. Pure. */

import { Fault } from '../../base/faults.ts';
import { deviceKinds, parseDeviceUrl } from '../device-url.ts';
import type { Connection, Connector } from './connector.ts';
import { fc } from './fc/fc.ts';
import { iscsi } from './iscsi/iscsi.ts';
import { lvmConnector } from './lvm/connector.ts';
import { nbdConnector } from './nbd/nbd.ts';
import { nfsConnector } from './nfs/nfs.ts';
import { nvme } from './nvme/nvme.ts';
import { rbdConnector } from './rbd/rbd.ts';

/** The table: a connector is its line here. */
const table: readonly Connector[] = [
  fc,
  iscsi,
  lvmConnector,
  nbdConnector(),
  nfsConnector(),
  nvme,
  rbdConnector(),
];

/** Needs to be attached before it can be opened. */
export interface RemoteLocation {
  readonly where: 'attached';
  readonly connector: Connector;
  readonly connection: Connection;
  /** Without secrets. */
  readonly url: string;
  /** True where the storage lets this host only read. */
  readonly readOnly: boolean;
}

/** `encrypted`: what the storage says of the bytes; absent where it says nothing. They are read and written as they are. */
export type Location = ({ readonly where: 'here'; readonly url: string } | RemoteLocation) & {
  readonly encrypted?: boolean;
};

export interface Connectors {
  readonly all: readonly Connector[];
  /** By its kind, as journals and records name it. DEVICE_FAILED where this version has none of that kind. */
  of(kind: string): Connector;
  /** A path, a URL. INVALID_ARGUMENT. */
  parse(text: string): Location;
  /** Cinder's `connection_info`, bare or as its commands print it. INVALID_ARGUMENT. */
  parseInfo(document: unknown): Location;
}

const schemesOf = ({ kind, schemes = [] }: Connector): readonly string[] => [kind, ...schemes];

const quoted = (words: readonly string[]): string => words.map((word) => `"${word}"`).join(', ');

/** Words of hostile text that go into a message. */
const shown = (value: unknown): string => String(value).slice(0, 64);

export function connectorsOf(all: readonly Connector[]): Connectors {
  const byScheme = new Map(all.flatMap((one) => schemesOf(one).map((scheme) => [scheme, one] as const)));
  const byDriver = new Map(all.flatMap((one) => one.driverTypes.map((type) => [type, one] as const)));
  const schemes = [...deviceKinds, ...byScheme.keys()].map((scheme) => `${scheme}:`);
  const attached = (connector: Connector, connection: Connection, readOnly: boolean): RemoteLocation => ({
    where: 'attached',
    connector,
    connection,
    url: connector.format(connection),
    readOnly,
  });
  return {
    all,
    of: (kind) => {
      const found = all.find((connector) => connector.kind === kind);
      if (found !== undefined) return found;
      throw new Fault(
        'DEVICE_FAILED',
        `Cannot use attachments of kind "${shown(kind)}": this Basalt has none`,
      );
    },
    parse: (text) => {
      const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
      if (scheme === undefined || deviceKinds.some((kind) => kind === scheme)) {
        parseDeviceUrl(text);
        return { where: 'here', url: text };
      }
      const connector = byScheme.get(scheme);
      if (connector !== undefined) return attached(connector, connector.parseUrl(text), false);
      // Not the text: what comes before an unknown scheme's "@" may be a password.
      throw new Fault(
        'INVALID_ARGUMENT',
        `Cannot use "${shown(scheme)}:…" as a device: its scheme is unknown`,
        {
          hint: `Name an absolute path, or a URL of one of the kinds ${schemes.join(' ')}`,
        },
      );
    },
    parseInfo: (document) => {
      const { driverType, data, mountPointBase } = readInfo(document);
      const encrypted = typeof data['encrypted'] === 'boolean' ? { encrypted: data['encrypted'] } : {};
      if (driverType === 'local') return { where: 'here', url: localPath(data), ...encrypted };
      const connector = byDriver.get(driverType);
      if (connector === undefined) {
        throw new Fault(
          'INVALID_ARGUMENT',
          `Cannot attach a device of driver_volume_type "${shown(driverType)}": no connector knows it`,
          { hint: `The known ones are ${quoted(['local', ...byDriver.keys()])}` },
        );
      }
      const more = mountPointBase === undefined ? { driverType } : { driverType, mountPointBase };
      const connection = connector.parseInfo(data, more);
      return { ...attached(connector, connection, data['access_mode'] === 'ro'), ...encrypted };
    },
  };
}

export const connectors: Connectors = connectorsOf(table);

interface Info {
  readonly driverType: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly mountPointBase: string | undefined;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What stands around the document where a command of Cinder or OpenStack printed it. */
const wrappers = ['connection_info', 'attachment', 'Properties', 'properties', 'Connection Info'] as const;
const wrappersMax = 4;

/** Both shapes are read: as drivers give it, `{driver_volume_type, data: {…}}`, and as the API of attachments gives it, where what
 *  belongs into `data` stands beside the type. Source: cinder/volume/manager.py, _connection_create. */
function readInfo(document: unknown): Info {
  let inner: unknown = document;
  for (let depth = 0; depth < wrappersMax; depth += 1) {
    if (typeof inner === 'string') inner = parsed(inner);
    if (!isMap(inner)) break;
    const { driver_volume_type: type, data, mount_point_base: base, ...flat } = inner;
    if (typeof type === 'string') {
      if (data !== undefined && !isMap(data)) throw refuse('its "data" is not an object');
      const mountPointBase = typeof base === 'string' ? base : undefined;
      return { driverType: type.toLowerCase(), data: data ?? flat, mountPointBase };
    }
    const outer: Record<string, unknown> = inner;
    const wrapper = wrappers.find((name) => outer[name] !== undefined);
    if (wrapper === undefined) break;
    inner = outer[wrapper];
  }
  throw refuse('it has no "driver_volume_type"');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refuse('it is text that is no JSON');
  }
}

/** As a bare path: what is there says of which kind it is. */
function localPath({ device_path: path }: Info['data']): string {
  if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0'))
    throw refuse('its "device_path" is not an absolute path');
  return path;
}

const refuse = (why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use the connection_info: ${why}`, {
    hint: 'Hand over what the driver or "openstack volume attachment show -f json" gave, unchanged',
  });
