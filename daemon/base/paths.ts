/** Questions about absolute, normal paths. Pure: where a path really leads is for the caller to find out first. */

import { sep } from 'node:path';

/** True where `path` is `folder` or lies in it. */
export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
