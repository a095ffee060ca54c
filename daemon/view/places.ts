/** Numbers of what the view shows, and what each number stands for.
 *  Promises: a thing keeps its number until its backup is dropped, and a number is never given to anything else; only the numbers of file
 *  systems are given again, each time as another generation, when there are no others. Knows nothing of names. */

import { assert } from '../base/assert.ts';
import { treeNodes, treesMax } from '../base/limits.ts';

/** What FUSE calls the root. */
export const rootNode = 1;

export type Place =
  | { readonly kind: 'root' | 'by-time' }
  | { readonly kind: 'volume'; readonly volumeId: string }
  | { readonly kind: 'backup' | 'image' | 'manifest' | 'partitions' | 'link'; readonly backupId: string }
  | { readonly kind: 'partition'; readonly backupId: string; readonly number: number }
  /** A folder below `lvm`: of a group, or of all. */
  | { readonly kind: 'lvm'; readonly backupId: string; readonly path: string }
  /** The image of a volume inside, by its name. */
  | { readonly kind: 'inner'; readonly backupId: string; readonly path: string }
  /** A folder below `files`, which leads to volumes inside the image or is one; and the file system of such a volume, whose own numbers
   *  begin with this one. */
  | { readonly kind: 'files' | 'tree'; readonly backupId: string; readonly path: string };

export class Places {
  readonly #places = new Map<number, Place>([[rootNode, { kind: 'root' }]]);
  readonly #nodes = new Map<string, number>();
  /** The nodes that each backup has been given. */
  readonly #nodesOfBackup = new Map<string, number[]>();
  #nextNode = rootNode + 1;
  #nextTree = 1;
  /** Trees of dropped backups, those that went first before the others. */
  readonly #freeTrees: number[] = [];
  readonly #generations = new Map<number, number>();

  at(node: number): Place | undefined {
    return this.#places.get(node);
  }

  /** A file system has as many numbers as it has files, the first of which is given. */
  nodeOf(place: Place): number {
    const key = keyOf(place);
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    const node = place.kind === 'tree' ? this.#newTree() : this.#nextNode++;
    assert(node < treeNodes || place.kind === 'tree', 'node numbers do not run out');
    this.#nodes.set(key, node);
    this.#places.set(node, place);
    if ('backupId' in place) {
      const nodes = this.#nodesOfBackup.get(place.backupId);
      if (nodes === undefined) this.#nodesOfBackup.set(place.backupId, [node]);
      else nodes.push(node);
    }
    return node;
  }

  /** How often the number of a file system was given. */
  generationOf(node: number): number {
    return this.#generations.get(node) ?? 1;
  }

  /** Forgets the nodes of a backup and gives them. */
  drop(backupId: string): readonly number[] {
    const dropped = this.#nodesOfBackup.get(backupId) ?? [];
    this.#nodesOfBackup.delete(backupId);
    for (const node of dropped) {
      const place = this.#places.get(node);
      if (place !== undefined) this.#nodes.delete(keyOf(place));
      this.#places.delete(node);
      if (node >= treeNodes) this.#freeTrees.push(node);
    }
    return dropped;
  }

  #newTree(): number {
    if (this.#nextTree <= treesMax) return this.#nextTree++ * treeNodes;
    const node = this.#freeTrees.shift();
    if (node === undefined) throw new RangeError('There are too many file systems to show');
    this.#generations.set(node, this.generationOf(node) + 1);
    return node;
  }
}

function keyOf(place: Place): string {
  const of = 'backupId' in place ? `${place.kind}/${place.backupId}` : place.kind;
  if ('number' in place) return `${of}/${place.number}`;
  if ('path' in place) return `${of}/${place.path}`;
  return 'volumeId' in place ? `${of}/${place.volumeId}` : of;
}
