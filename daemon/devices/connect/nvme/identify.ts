/** Who a namespace is, by its own word.
 *  Promises: what the kernel remembers of it is never taken for an answer, and what it says must not speak against what was asked for. */

import { join } from 'node:path';
import type { ConnectContext, DeviceIdentity } from '../connector.ts';
import { wrongDevice } from '../trouble.ts';
import { formatNvmeUrl, type NvmeNamespace, nguidOf, uuidOf } from './address.ts';

/** It answers from the target, or not at all. */
const askTimeoutMs = 20_000;

/** Asked of the namespace now, over the way that the kernel takes. */
export async function identify(
  disk: string,
  { tools, probe, folders }: ConnectContext,
): Promise<DeviceIdentity> {
  const device = join(folders.dev, disk);
  const said = await tools.output('nvme', ['ns-descs', device], { timeoutMs: askTimeoutMs });
  const names = [...said.matchAll(/"?\b(uuid|nguid|eui64)\b"?\s*:\s*"?([0-9a-fA-F-]+)/g)].flatMap(
    ([, kind, value = '']) => {
      const uuid = kind === 'uuid' ? uuidOf(value) : undefined;
      const nguid = kind === 'nguid' ? nguidOf(value) : undefined;
      const eui =
        kind === 'eui64' && /^[0-9a-f]{16}$/i.test(value) && !/^0+$/.test(value)
          ? value.toLowerCase()
          : undefined;
      if (uuid !== undefined) return [`uuid.${uuid}`];
      if (nguid !== undefined) return [`nguid.${nguid}`];
      return eui === undefined ? [] : [`eui.${eui}`];
    },
  );
  return { names: names.sort(), serial: null, ...(await probe.size(device)) };
}

/** What the kernel remembers of a namespace has led to it; the namespace itself has to say the same. */
export function requireNamed(wanted: NvmeNamespace, { names }: Pick<DeviceIdentity, 'names'>): void {
  for (const kind of ['uuid', 'nguid'] as const) {
    const said = names.filter((name) => name.startsWith(`${kind}.`));
    if (wanted[kind] === null || said.length === 0 || said.includes(`${kind}.${wanted[kind]}`)) continue;
    throw wrongDevice(formatNvmeUrl(wanted), `it calls itself ${said.join(', ')}`);
  }
}
