/** Who a namespace is, by its own word.
 *  Promises: what the kernel remembers of it is never taken for an answer; it is asked by each controller on its own, so that every way
 *  is looked at, and what it says must not speak against what was asked for. Source: NVMe Base Specification 2.0, 3.2.1.5 and 5.17. */

import { join } from 'node:path';
import { z } from 'zod';
import type { ConnectContext, DeviceIdentity } from '../connector.ts';
import { wrongDevice } from '../trouble.ts';
import { formatNvmeUrl, type NvmeNamespace, nguidOf, uuidOf } from './address.ts';

/** It answers from the target, or not at all. */
const askTimeoutMs = 15_000;

const euiOf = (text: string): string | undefined =>
  /^[0-9a-f]{16}$/i.test(text) && !/^0+$/.test(text) ? text.toLowerCase() : undefined;

const kinds = {
  uuid: { prefix: 'uuid', read: uuidOf },
  nguid: { prefix: 'nguid', read: nguidOf },
  eui64: { prefix: 'eui', read: euiOf },
} as const;

/** From what `nvme ns-descs` prints. */
export function namesSaid(text: string): string[] {
  const names = Object.entries(kinds).flatMap(([kind, { prefix, read }]) =>
    [...text.matchAll(new RegExp(`"?\\b${kind}\\b"?\\s*:\\s*"?([0-9a-fA-F-]+)`, 'g'))].flatMap(
      ([, value = '']) => {
        const name = read(value);
        return name === undefined ? [] : [`${prefix}.${name}`];
      },
    ),
  );
  return [...new Set(names)].sort();
}

/** Asked of the namespace now, by this one controller ("nvme1"). */
export async function identify(
  controller: string,
  nsid: number,
  { tools, folders }: ConnectContext,
): Promise<readonly string[]> {
  const words = ['ns-descs', join(folders.dev, controller), `--namespace-id=${nsid}`];
  return namesSaid(await tools.output('nvme', words, { timeoutMs: askTimeoutMs }));
}

const sizeShape = z.object({
  nsze: z.number(),
  flbas: z.number(),
  lbafs: z.array(z.object({ ds: z.number() })),
});

/** The size of the namespace by its own word; undefined where the program says it in a way that is unknown. */
export async function sizeSaid(
  controller: string,
  nsid: number,
  { tools, folders }: ConnectContext,
): Promise<number | undefined> {
  const words = ['id-ns', join(folders.dev, controller), `--namespace-id=${nsid}`, '--output-format=json'];
  const run = await tools.run('nvme', words, { timeoutMs: askTimeoutMs });
  if (run.status !== 0) return undefined;
  try {
    const { nsze, flbas, lbafs } = sizeShape.parse(JSON.parse(run.stdout));
    const format = lbafs[(flbas & 0x0f) | ((flbas & 0x60) >> 1)];
    return format === undefined ? undefined : nsze * 2 ** format.ds;
  } catch {
    return undefined;
  }
}

/** The numbers of all namespaces that the controller shows, also of those that the kernel has not come to yet. */
export async function numbersSaid(
  controller: string,
  { tools, folders }: ConnectContext,
): Promise<readonly number[]> {
  const words = ['list-ns', join(folders.dev, controller)];
  const { stdout } = await tools.run('nvme', words, { timeoutMs: askTimeoutMs });
  return [...stdout.matchAll(/\]\s*:\s*(0x[0-9a-f]+|\d+)/gi)].map(([, number]) => Number(number));
}

/** What the kernel remembers of a namespace has led to it; the namespace itself has to say the same. */
export function requireNamed(wanted: NvmeNamespace, { names }: Pick<DeviceIdentity, 'names'>): void {
  for (const kind of ['uuid', 'nguid'] as const) {
    const said = names.filter((name) => name.startsWith(`${kind}.`));
    if (wanted[kind] === null || said.length === 0 || said.includes(`${kind}.${wanted[kind]}`)) continue;
    throw wrongDevice(formatNvmeUrl(wanted), `it calls itself ${said.join(', ')}`);
  }
}
