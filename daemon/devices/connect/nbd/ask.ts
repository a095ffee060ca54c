/** Asks an NBD server what it says of an export, over a connection of its own, which has ended when the answer is there: a server that
 *  takes one client at a time can be asked before it is attached, and not while it is.
 *  Promises: an answer or a fault in set time; nothing is attached. Source: nbdinfo(1). */

import { z } from 'zod';
import { volumeBytesMax } from '../../../base/limits.ts';
import type { ConnectContext } from '../connector.ts';
import { attachFailed, attachRefused } from '../trouble.ts';

const answer = z.object({
  exports: z
    .array(
      z.object({
        'export-size': z.number().min(0),
        is_read_only: z.boolean(),
        block_size_minimum: z.number().int().min(1).optional(),
      }),
    )
    .length(1),
});

export interface NbdExport {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly blockBytes: number;
}

const askTimeoutMs = 15_000;
/** NBD counts in bytes; what reads it as a file may, too. */
const usualBlockBytes = 512;

/** What libnbd says, without the names of its functions. */
export function nbdComplaint(stderr: string): string {
  const [, said = ''] = /^\S*nbdinfo: (?:nbd_\w+: )?(.*)$/m.exec(stderr) ?? [];
  if (/server replied with error to opt_go/.test(said)) return 'the server has no such export, or refuses it';
  return said === '' ? 'the server does not answer as an NBD server does' : said;
}

export async function askNbd(
  url: string,
  { tools, policy, signal }: Pick<ConnectContext, 'tools' | 'policy' | 'signal'>,
): Promise<NbdExport> {
  const timeoutMs = Math.min(askTimeoutMs, policy.timeoutMs);
  const run = await tools.run('nbdinfo', ['--json', '--no-content', url], { timeoutMs, signal });
  if (run.timedOut) {
    const hint =
      'Check the network to it, and whether it takes one client at a time and has one (qemu-nbd --shared)';
    throw attachRefused(url, `the server does not answer within ${timeoutMs / 1000} s`, hint);
  }
  if (run.status !== 0) throw attachFailed(url, nbdComplaint(run.stderr), { said: run.stderr });
  let said: unknown;
  try {
    said = JSON.parse(run.stdout);
  } catch {
    throw attachFailed(url, 'nbdinfo says nothing that can be read');
  }
  const [first] = answer.safeParse(said).data?.exports ?? [];
  if (first === undefined) throw attachFailed(url, 'nbdinfo says nothing that can be read');
  const sizeBytes = first['export-size'];
  if (sizeBytes > volumeBytesMax)
    throw attachFailed(url, `its server says that it has ${sizeBytes} bytes, and no volume has so many`);
  return {
    sizeBytes,
    readOnly: first.is_read_only,
    blockBytes: Math.max(first.block_size_minimum ?? usualBlockBytes, usualBlockBytes),
  };
}
