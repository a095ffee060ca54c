/** The packs of a native repository in a folder, as files. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

export const packsIn = (repository: string): string[] =>
  readdirSync(join(repository, 'packs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pack'))
    .map((name) => join(repository, 'packs', name));
