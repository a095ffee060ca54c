/** What it takes to reach a device that is not simply there: attach it, say what it is, look again, and let it go.
 *
 *    text or connection_info ─parse▶ Connection ─attach▶ Attached ─observe▶ Observation … ─detach▶ nothing left
 *
 *  Promises, which every connector keeps:
 *   - before a command changes anything, what it is about to make stands in `Built` and is journaled: `detach` with what was
 *     journaled last, whole or not, leaves nothing behind, and may be called again after it failed or was killed half-way;
 *   - only what the attachment itself has built is undone: sessions, maps and mounts that were there before stay;
 *   - `attach` resolves only when all paths that are used lead to one device, by identities read from the device just now, never
 *     from what the kernel remembers; a detach resolves when it was seen that the device is gone;
 *   - no name such as /dev/sdb is trusted across two looks: names are used again by others.
 *  Knows nothing of volumes, jobs or the catalog: who calls keeps the record, shares attachments, and pins identities. */

import type { Json } from '../../base/json.ts';
import type { Tools } from './tools.ts';

export type { Json } from '../../base/json.ts';

/** What is asked for, in the connector's own words; it may hold secrets. */
export type Connection = { readonly [key: string]: Json };

/** What an attach has made or is about to make, enough to undo it. Never a secret. */
export type Built = { readonly [key: string]: Json };

/** What a device says of itself; all of it is read from the device at the moment of the look. */
export interface DeviceIdentity {
  /** Names that last and are unique in the world, normalised and sorted: "naa.6001405…", "eui.…", "t10.…", "uuid.…", "nguid.…",
   *  "lvm.VGUUID.LVUUID", "rbd.FSID/POOLID/IMAGEID", "file.DEV.INODE". Empty: the device has none. */
  readonly names: readonly string[];
  readonly serial: string | null;
  readonly sizeBytes: number;
  /** Bytes of a logical block. */
  readonly blockBytes: number;
}

export const pathStates = ['active', 'enabled', 'failed', 'ghost', 'missing', 'unknown'] as const;
export type PathState = (typeof pathStates)[number];

/** One of the ways on which a device is reached. */
export interface DevicePath {
  /** "/dev/sdb"; null while it is missing. */
  readonly device: string | null;
  /** "8:16" */
  readonly number: string | null;
  /** For people: "10.0.0.2:3260 iqn.2026-01.example:disk lun 1". */
  readonly via: string;
  readonly state: PathState;
  readonly identity: DeviceIdentity | null;
}

export interface Observation {
  /** What is read from and written to: "/dev/dm-3", "/dev/sdb", or the path of a file. */
  readonly device: string;
  /** "253:3"; null for a file. */
  readonly number: string | null;
  readonly identity: DeviceIdentity;
  readonly paths: readonly DevicePath[];
  /** The name of the map, where there is one. */
  readonly map: string | null;
}

/** A way to the device that can be asked who is there in a moment, without a program. */
export interface AskablePath {
  readonly via: string;
  readonly device: string;
  /** Read from the device now. DEVICE_FAILED where it does not answer. */
  ask(): Promise<Pick<DeviceIdentity, 'names' | 'serial'>>;
}

export interface Attached extends Observation {
  readonly built: Built;
}

/** What the operator wants of every attachment; a connection may say otherwise for itself. */
export interface AttachPolicy {
  readonly multipath: boolean;
  /** Fail where the host has no multipath, or where no map comes about, instead of going on with one path. */
  readonly enforceMultipath: boolean;
  /** Fewest paths that must work, else the attach fails. */
  readonly pathsMin: number;
  /** How often a bus is scanned for a device that does not appear. */
  readonly scanAttempts: number;
  /** Limit of the whole attach, in milliseconds. */
  readonly timeoutMs: number;
}

/** Where the kernel shows its devices; another place in tests of hardware that is not there. */
export interface SystemFolders {
  readonly sys: string;
  readonly dev: string;
  readonly etc: string;
}

export const systemFolders: SystemFolders = { sys: '/sys', dev: '/dev', etc: '/etc' };

export interface ConnectContext {
  readonly tools: Tools;
  readonly folders: SystemFolders;
  readonly policy: AttachPolicy;
  readonly signal: AbortSignal;
  /** "read": nothing will be written, and what is made is read-only where the way allows it. What was attached to be written to
   *  serves readers too; never the other way round. */
  readonly access: 'read' | 'write';
  /** The id of the attachment, for names of what is made for it alone. */
  readonly id: string;
  /** A folder of this attachment alone, 0700, made and removed by the caller: sockets, mount points. */
  readonly folder: string;
  /** INQUIRY, sizes and flushes: what takes a system call on an open device. */
  readonly probe: DeviceProbe;
  /** Flushed to disk when it resolves; replaces what was journaled before. */
  journal(built: Built): Promise<void>;
  /** What the other attachments of this agent have journaled, of one kind of connector: what they share with this one is theirs, too. */
  others(kind: string): readonly Built[];
  /** For people: what is waited for, with the reason. */
  note(what: string): void;
  /** One task at a time of all that give the same key, also of another agent on this host (a lock file below the state
   *  directory of the system). A session is such a key: who logs in or out holds it. */
  alone<T>(key: string, task: () => Promise<T>): Promise<T>;
}

/** Looks at an open block device; in tests of hardware that is not there, another thing that answers. */
export interface DeviceProbe {
  /** Fresh page 0x83 and 0x80 of a SCSI device (SG_IO INQUIRY), normalised; no names where the device is not SCSI. */
  scsiIdentity(device: string): Promise<Pick<DeviceIdentity, 'names' | 'serial'>>;
  /** Size and logical block, from the open device. */
  size(device: string): Promise<Pick<DeviceIdentity, 'sizeBytes' | 'blockBytes'>>;
  /** Writes dirty pages of the device back and forgets the others. */
  flush(device: string): Promise<void>;
  /** Writes a word to a file of sysfs, such as "scan" or "delete", and waits until the kernel has done the work. */
  order(file: string, text: string): Promise<void>;
}

/** Something that an attachment has left that nobody keeps a record of. */
export interface Leftover {
  /** For people: "session 3 to iqn.2026-01.example:disk, without a device". */
  readonly what: string;
  /** With both, `detach` clears it away. */
  readonly connection: Connection;
  readonly built: Built;
}

export interface Connector {
  /** "iscsi"; the scheme of its URLs too. */
  readonly kind: string;
  /** Further schemes that `parseUrl` takes: "nbd+unix". */
  readonly schemes?: readonly string[];
  /** Words of Cinder's `driver_volume_type` that mean it. */
  readonly driverTypes: readonly string[];
  /** A sentence and an example of a URL, for help texts. */
  readonly summary: string;
  readonly example: string;
  /** Debian packages whose programs it runs; empty: none. */
  readonly needs: readonly string[];
  /** From a URL of ours. INVALID_ARGUMENT says what is wrong with it. */
  parseUrl(text: string): Connection;
  /** From Cinder's `connection_info`: `data` as it is there, hostile until checked; `more` is what stands beside it. */
  parseInfo(
    data: unknown,
    more: { readonly driverType: string; readonly mountPointBase?: string },
  ): Connection;
  /** As a URL without secrets; `parseUrl` reads it back to the same device. */
  format(connection: Connection): string;
  /** Equal for two connections to the same device: such attachments are shared. No secrets. */
  key(connection: Connection): string;
  /** False where who asks has not shown the right to what was attached with `held`: another secret, or none. */
  admits?(held: Connection, asked: Connection): boolean;
  /** True where what is attached for reading shows the moment of the attach, and not the device as it is: nobody else shares it. */
  frozen?(connection: Connection): boolean;
  attach(connection: Connection, context: ConnectContext): Promise<Attached>;
  /** The device as it is now, from fresh looks at every path. DEVICE_FAILED where it is not there. */
  observe(connection: Connection, built: Built, context: ConnectContext): Promise<Observation>;
  /** The ways that reads and writes may take now, those of others in the same map too: cheap enough for many times a second. Absent
   *  where only `observe` can tell. */
  paths?(connection: Connection, built: Built, context: ConnectContext): Promise<readonly AskablePath[]>;
  /** Looks for new, lost, returned and grown paths. What is found belongs to the attachment from then on. */
  rescan(connection: Connection, built: Built, context: ConnectContext): Promise<Attached>;
  /** Leaves nothing behind of what was built, or throws DEVICE_LEFT with what is left. */
  detach(connection: Connection, built: Built, context: ConnectContext): Promise<void>;
  /** What is surely of our making, and in none of `known`. Changes nothing; `journal` and `folder` are not for it. */
  leftovers?(known: readonly Built[], context: ConnectContext): Promise<readonly Leftover[]>;
}
