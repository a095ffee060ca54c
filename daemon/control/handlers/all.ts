/** The handlers of all methods, as one table. */

import type { Handlers } from '../dispatch.ts';
import { backupHandlers } from './backup.ts';
import { daemonHandlers } from './daemon.ts';
import { deviceHandlers } from './device.ts';
import { eventHandlers } from './events.ts';
import { fileHandlers } from './file.ts';
import { jobHandlers } from './job.ts';
import { mountHandlers } from './mount.ts';
import type { HandlerParts } from './parts.ts';
import { quotaHandlers } from './quota.ts';
import { repositoryHandlers } from './repository.ts';
import { serviceHandlers } from './service.ts';
import { snapshotHandlers } from './snapshot.ts';
import { volumeHandlers } from './volume.ts';

export const allHandlers = (parts: HandlerParts): Handlers => ({
  ...volumeHandlers(parts),
  ...snapshotHandlers(parts),
  ...backupHandlers(parts),
  ...fileHandlers(parts),
  ...jobHandlers(parts),
  ...mountHandlers(parts),
  ...eventHandlers(parts),
  ...quotaHandlers(parts),
  ...repositoryHandlers(parts),
  ...deviceHandlers(parts),
  ...daemonHandlers(parts),
  ...serviceHandlers(parts),
});
