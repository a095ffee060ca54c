/** Volumes in the share of a test server, and attachments of them by the connector. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { MiB } from '../../../daemon/base/bytes.ts';
import { readMountTable } from '../../../daemon/base/mount-table.ts';
import { nfsConnector } from '../../../daemon/devices/connect/nfs/nfs.ts';
import type { TestContext } from '../../support/connect.ts';
import { noise } from '../../support/volume-model.ts';
import type { NfsServer } from './nfs.ts';

export const nfs = nfsConnector({ everyMs: 500, limitMs: 3000 });
export const sizeBytes = 4 * MiB;

/** Patience of two seconds instead of half a minute. */
export const urlOf = ({ port }: NfsServer, name: string, more = ''): string =>
  `nfs://127.0.0.1/volumes/${name}?options=port=${port},timeo=10,retrans=1${more}`;

export function volume({ folder }: NfsServer, name: string, seed = 1): Buffer {
  const bytes = noise(sizeBytes, seed);
  writeFileSync(join(folder, name), bytes);
  return bytes;
}

export async function attachFor(context: TestContext, url: string) {
  const connection = nfs.parseUrl(url);
  const detach = () => nfs.detach(connection, context.journaled.at(-1) ?? {}, context);
  onTestFinished(detach);
  return { connection, detach, ...(await nfs.attach(connection, context)) };
}

export const mountsIn = async (folder: string): Promise<string[]> =>
  (await readMountTable()).map(({ directory }) => directory).filter((one) => one.startsWith(folder));
