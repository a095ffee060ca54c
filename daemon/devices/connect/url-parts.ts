/** What URLs of devices are made of: hosts, ports, names. Pure.
 *  Promises: refuses with one sentence that names the URL; what is read is decoded, and never holds a control character, so that
 *  it can stand in a message, a word of a command line or a file of settings. */

import { isIPv6 } from 'node:net';
import { Fault } from '../../base/faults.ts';

export const refuseDevice = (text: string, why: string, hint?: string): Fault =>
  new Fault(
    'INVALID_ARGUMENT',
    `Cannot use "${text}" as a device: ${why}`,
    hint === undefined ? {} : { hint },
  );

export interface Endpoint {
  /** A name or an address, an IPv6 one without brackets. */
  readonly host: string;
  readonly port: number | null;
}

export interface UrlParts {
  readonly scheme: string;
  /** As it is written, before it is split. */
  readonly authority: string;
  /** Decoded, without the slash that begins it. */
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
}

const control = /\p{Cc}/u;

function decoded(text: string, part: string): string {
  let plain: string;
  try {
    plain = decodeURIComponent(part);
  } catch {
    throw refuseDevice(text, 'a "%" in a URL is followed by two hexadecimal digits (write "%" as "%25")');
  }
  if (control.test(plain)) throw refuseDevice(text, 'it holds a control character');
  return plain;
}

/** `keys`: what may stand behind the question mark. */
export function splitUrl(text: string, keys: readonly string[]): UrlParts {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/s.exec(text);
  const [, scheme, authority, path = '', query = ''] = match ?? [];
  if (scheme === undefined || authority === undefined)
    throw refuseDevice(text, 'it is not of the form SCHEME://HOST/NAME');
  const pairs = new Map<string, string>();
  for (const pair of query.split('&').filter((one) => one !== '')) {
    const [key = '', value = ''] = pair.split(/=(.*)/s, 2);
    if (!keys.includes(key)) {
      const known = keys.length === 0 ? 'nothing' : keys.map((one) => `"${one}"`).join(', ');
      throw refuseDevice(text, `behind the "?" it may have ${known}, not "${key}"`);
    }
    pairs.set(key, decoded(text, value));
  }
  return {
    scheme: scheme.toLowerCase(),
    authority: decoded(text, authority),
    path: decoded(text, path),
    query: pairs,
  };
}

const hostName = /^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.])?$/;

/** Whether it can be a host, an IPv6 address without brackets. */
export const isHost = (text: string): boolean => hostName.test(text) || isIPv6(text);

/** One spelling of a host: names are alike in capitals, and an IPv6 address has many forms. */
export function canonicalHost(host: string): string {
  // One with a zone ("fe80::1%eth0") is no host of a URL.
  if (isIPv6(host) && !host.includes('%')) return new URL(`http://[${host}]/`).hostname.slice(1, -1);
  return host.toLowerCase().replace(/\.$/, '');
}

export const isPort = (port: number): boolean => Number.isSafeInteger(port) && port > 0 && port < 65_536;

/** "host", "host:port", "[address]:port". */
export function readEndpoint(text: string, authority: string): Endpoint {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(authority) ?? [];
  const host = bracketed ?? plain ?? '';
  if (!isHost(host) || (bracketed !== undefined && !isIPv6(host)))
    throw refuseDevice(text, `"${authority}" is no host`);
  const port = digits === undefined ? null : Number(digits);
  if (port !== null && !isPort(port)) throw refuseDevice(text, `${port} is no port`);
  return { host, port };
}

export const formatEndpoint = ({ host, port }: Endpoint): string => {
  const shown = isIPv6(host) ? `[${host}]` : host;
  return port === null ? shown : `${shown}:${port}`;
};

/** One text for all spellings of an absolute path that need no look at it: ".." is no such, as links may lead elsewhere. */
export const canonicalPath = (path: string): string =>
  `/${path
    .split('/')
    .filter((step) => step !== '' && step !== '.')
    .join('/')}`;

/** Slashes stay legible. */
export const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');
