/** Which kinds of devices this host can attach: asked at the start, for the log, and by whoever wants the status. */

import type { Logger } from 'pino';
import { systemFolders } from '../devices/connect/connector.ts';
import { type Readiness, readinessOf, warningsOf } from '../devices/connect/requirements.ts';
import { systemTools } from '../devices/connect/tools.ts';
import type { Services } from './services.ts';

const host = { tools: systemTools, folders: systemFolders };

/** What each kind lacks; what all of them lack is in each line. No program is run. */
export async function deviceReadiness({ connectors }: Pick<Services, 'connectors'>): Promise<Readiness[]> {
  const ready = await readinessOf({ ...host, versions: false }, connectors.all);
  return ready.connectors.map(({ kind, missing }) => ({ kind, missing: [...ready.host, ...missing] }));
}

/** Says in the log what can't be attached, and why. Nothing need wait for it. */
export async function warnOfLacks(
  { connectors }: Pick<Services, 'connectors'>,
  log: Pick<Logger, 'warn' | 'error'>,
): Promise<void> {
  try {
    const ready = await readinessOf({ ...host, versions: true }, connectors.all);
    for (const line of warningsOf(ready)) log.warn(line);
  } catch (thrown) {
    log.error({ err: thrown }, 'Cannot see what attaching devices needs');
  }
}
