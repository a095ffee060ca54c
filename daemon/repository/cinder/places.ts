/** Where the objects of a backup are, found by its id alone: nothing but the names in a Cinder repository says it.
 *  Promises: memory does not grow with the repository. Changes nothing. */

import type { Containers } from './containers.ts';
import { defaultContainer, metadataName, parseName, parsePrefix } from './names.ts';

export interface Place {
  readonly container: string;
  readonly prefix: string;
  readonly backupId: string;
  readonly volumeId: string;
}

/** Places that are remembered. */
const placesMax = 4096;

export const keyIn = ({ container }: Pick<Place, 'container'>, name: string): string =>
  container === '' ? name : `${container}/${name}`;

/** The container and the name of a file by Cinder's rules: a prefix of an object store has slashes itself. */
export function placeOf(
  container: string,
  name: string,
): { readonly place: Place; readonly part: NonNullable<ReturnType<typeof parseName>>['part'] } | undefined {
  const short = parseName(name);
  const parts = container.split('/');
  const long =
    short === undefined && parts.length > 1 ? parseName([...parts.slice(-2), name].join('/')) : undefined;
  const parsed = short ?? long;
  const facts = parsed === undefined ? undefined : parsePrefix(parsed.prefix);
  if (parsed === undefined || facts === undefined) return undefined;
  const of = short === undefined ? parts.slice(0, -2).join('/') : container;
  return { place: { container: of, prefix: parsed.prefix, ...facts }, part: parsed.part };
}

export class Places {
  readonly #containers: Containers;
  readonly #known = new Map<string, Place>();

  constructor(containers: Containers) {
    this.#containers = containers;
  }

  /** Undefined where no backup of that id is complete. */
  async find(backupId: string): Promise<Place | undefined> {
    const known = this.#known.get(backupId);
    if (known !== undefined && (await this.#isThere(known))) return known;
    this.#known.delete(backupId);
    for await (const { name } of this.#containers.list(defaultContainer(backupId))) {
      this.#note(defaultContainer(backupId), name);
    }
    const usual = this.#known.get(backupId);
    if (usual !== undefined) return usual;
    for await (const { container, name } of this.#containers.walk()) {
      this.#note(container, name);
      const found = this.#known.get(backupId);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Remembers where a file belongs. */
  #note(container: string, name: string): void {
    const found = placeOf(container, name);
    if (found?.part.kind !== 'metadata') return;
    this.#known.delete(found.place.backupId);
    this.#known.set(found.place.backupId, found.place);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= placesMax) break;
      this.#known.delete(oldest);
    }
  }

  async #isThere(place: Place): Promise<boolean> {
    return (await this.#containers.evidence(keyIn(place, metadataName(place.prefix)))) !== undefined;
  }
}
