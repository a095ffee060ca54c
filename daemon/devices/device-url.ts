/** Reads and writes the names of devices: `file:///p`, `block:///dev/x`, `loop:///dev/loopN`, or an absolute path.
 *  Promises: what `formatDeviceUrl` writes, `parseDeviceUrl` reads back to the same path, whatever bytes are in it.
 *  Pure; knows nothing of what is at the path. */

import { Fault } from '../base/faults.ts';

export const deviceKinds = ['file', 'block', 'loop'] as const;
export type DeviceKind = (typeof deviceKinds)[number];

export interface DeviceUrl {
  /** As the operator wrote it. */
  readonly text: string;
  /** Undefined for a bare path: whatever is there decides. */
  readonly kind: DeviceKind | undefined;
  /** Absolute, symbolic links not yet followed. */
  readonly path: string;
}

const supported = deviceKinds.map((kind) => `${kind}:`).join(', ');
const isDeviceKind = (text: string): text is DeviceKind => deviceKinds.some((kind) => kind === text);

const refuse = (text: string, why: string): Fault =>
  new Fault('INVALID_ARGUMENT', `Cannot use "${text}" as a device: ${why}`, {
    hint: `Name an absolute path, or a URL of one of the kinds ${supported}`,
  });

export function parseDeviceUrl(text: string): DeviceUrl {
  const checked = (kind: DeviceKind | undefined, path: string): DeviceUrl => {
    if (!path.startsWith('/')) throw refuse(text, 'its path is not absolute');
    if (path.includes('\0')) throw refuse(text, 'a path cannot hold a zero byte');
    return { text, kind, path };
  };
  if (text.startsWith('/')) return checked(undefined, text);
  const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s.exec(text) ?? [];
  if (scheme === undefined || rest === undefined) throw refuse(text, 'its path is not absolute');
  const kind = scheme.toLowerCase();
  if (!isDeviceKind(kind)) throw refuse(text, `"${scheme}:" is not one of ${supported}`);
  if (/[?#]/.test(rest)) throw refuse(text, 'write "?" as "%3F" and "#" as "%23" in a URL');
  const path = rest.startsWith('//') ? rest.slice(2) : rest;
  if (rest.startsWith('//') && !path.startsWith('/'))
    throw refuse(text, 'a device of another host is out of reach');
  try {
    return checked(kind, decodeURIComponent(path));
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw refuse(text, 'a "%" in a URL is followed by two hexadecimal digits (write "%" as "%25")');
  }
}

/** The full form. Only what would be read back as something else is escaped, so that paths stay legible. */
export const formatDeviceUrl = (kind: DeviceKind, path: string): string =>
  `${kind}://${path.replaceAll(/[%?#\p{Cc}]/gu, (letter) => encodeURIComponent(letter))}`;
