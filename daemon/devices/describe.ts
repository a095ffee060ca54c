/** Kind, full URL and size of a device, without opening it.
 *  Promises: has no effect on the device; says SOURCE_MISSING or SOURCE_UNUSABLE as opening it would. */

import { Fault } from '../base/faults.ts';
import { blockSizeBytes } from './block-names.ts';
import type { DeviceDescription } from './device.ts';
import { parseDeviceUrl } from './device-url.ts';
import { sourceOpenFault } from './faults.ts';
import { locate, type Place } from './locate.ts';

/** What a URL leads to, or the fault that a source there would have. */
export async function locateSource(text: string): Promise<Place> {
  const url = parseDeviceUrl(text);
  const located = await locate(url).catch((thrown: unknown) => {
    throw sourceOpenFault(text, thrown);
  });
  if (located.found === 'place') return located.place;
  if (located.found === 'unusable')
    throw new Fault('SOURCE_UNUSABLE', `Cannot open "${text}": ${located.why}`);
  throw new Fault('SOURCE_MISSING', `Cannot open "${text}": there is nothing at "${url.path}"`);
}

export async function describeDevice(text: string): Promise<DeviceDescription> {
  const { kind, url, identity, sizeBytes } = await locateSource(text);
  if (identity.kind === 'file') return { url, kind, sizeBytes };
  const size = await blockSizeBytes(identity.number);
  if (size === undefined || size === 0) {
    throw new Fault('SOURCE_UNUSABLE', `Cannot open "${text}": there is no device behind it`);
  }
  return { url, kind, sizeBytes: size };
}
