/** From the URL of a repository to the repository: which kind, which storage. CONFIG_INVALID for a URL that nobody here knows. */

import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Fault } from '../base/faults.ts';
import type { RepositoryKind } from '../format/manifest.ts';
import { type CinderLocationParts, cinderLocation } from './cinder/location.ts';
import { type NativeLocationParts, nativeLocation } from './native/location.ts';
import type { RepositoryLocation } from './repository.ts';

export interface LocationParts extends NativeLocationParts, CinderLocationParts {
  readonly url: string;
  readonly native: NativeLocationParts['native'] & CinderLocationParts['native'];
}

const schemes = { 'file:': 'native', 'cinder+file:': 'cinder' } as const satisfies Record<
  string,
  RepositoryKind
>;

export function openLocation(parts: LocationParts): RepositoryLocation {
  const { url, kind } = parseRepositoryUrl(parts.url);
  const folder = fileURLToPath(url.replace(/^cinder\+/, ''));
  return kind === 'native' ? nativeLocation(parts, folder) : cinderLocation(parts, folder);
}

/** The kind that a URL means, and the URL as it is kept and compared. */
export function parseRepositoryUrl(url: string): { url: string; kind: RepositoryKind } {
  const text = url.startsWith('/') ? `file://${url}` : url;
  for (const [scheme, kind] of Object.entries(schemes)) {
    if (!text.startsWith(`${scheme}///`)) continue;
    const folder = url.startsWith('/') ? url : folderOf(`file:${text.slice(scheme.length)}`);
    if (folder === undefined) break;
    return { url: `${scheme.replace('file:', '')}${pathToFileURL(resolve(folder)).href}`, kind };
  }
  throw new Fault('CONFIG_INVALID', `Cannot use repository "${url}": no repository has such a URL`, {
    hint: 'Name a folder: file:///path, or cinder+file:///path for one of Cinder',
  });
}

function folderOf(url: string): string | undefined {
  try {
    return fileURLToPath(url);
  } catch {
    return undefined;
  }
}
