/** What handlers are made of, put together by the composition root. */

import type { Services } from '../../jobs/services.ts';
import type { SettingValue } from '../../protocol/values.ts';
import type { Handlers } from '../dispatch.ts';

export interface HandlerParts {
  readonly services: Services;
  readonly socketPath: string;
  readonly settings: readonly SettingValue[];
  readonly startedAtMs: number;
  /** Aborted when the daemon stops, after its jobs have ended. */
  readonly stopping: AbortSignal;
}

/** The handlers of some of the methods. */
export type Some<M extends keyof Handlers> = Pick<Handlers, M>;
