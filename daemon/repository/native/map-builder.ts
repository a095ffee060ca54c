/** Builds the map of a volume from the leaves up, while its blocks are being sealed.
 *
 *    place(segment) ─▶ leaf page ─(all its segments done)▶ sealed ─address▶ parent page … ─▶ root
 *
 *  Promises: a page is sealed once, when nothing will be written into it any more; what no segment covers is zeros, at no
 *  cost. Memory: one page a level, and one for each leaf that has segments under way. Knows nothing of packs. */

import { assert } from '../../base/assert.ts';
import { digestBytes, isZero } from '../../base/bytes.ts';
import { fanout } from '../../base/limits.ts';
import { mapHeight, pageBytes } from '../../format/layout.ts';
import type { OpenPage } from '../../format/writer-state.ts';

/** Stores a page and gives its address: 32 bytes, all zeros for a page of zeros. */
export type SealPage = (page: Uint8Array) => Promise<Uint8Array>;

interface Gate {
  readonly opened: Promise<void>;
  readonly open: () => void;
}

interface Leaf {
  readonly index: number;
  readonly page: Uint8Array;
  underWay: number;
  complete: boolean;
  readonly ready: Gate;
}

export interface Place {
  /** Where the addresses of the segment's blocks belong. */
  readonly addresses: Uint8Array;
  /** The addresses are written; or, where the segment failed, never will be. */
  done(): void;
}

/** A promise that somebody else settles. */
function gate(): Gate {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Leaves with segments under way, plus those that wait to be sealed. */
const backlogMax = 32;

export class MapBuilder {
  readonly height: number;
  readonly #blockBytes: number;
  readonly #sealPage: SealPage;
  #leaf: Leaf | undefined;
  /** Number of the last leaf that has begun. */
  #reached = -1;
  /** Leaves that have begun and are not in their parents yet, the oldest first. */
  readonly #backlog: Promise<void>[] = [];
  /** Leaves reach their parents in order, whenever their segments end. */
  #chain: Promise<void> = Promise.resolve();
  /** The same without the leaf that is being filled. */
  #before: Promise<void> = Promise.resolve();
  /** The page under construction of each level; level 2 holds addresses of leaves. */
  readonly #open = new Map<number, { index: number; page: Uint8Array }>();
  #root: Uint8Array = new Uint8Array(digestBytes);

  /** `pages`: those of an earlier `state`, to go on with. */
  constructor(sizeBytes: number, blockBytes: number, sealPage: SealPage, pages: readonly OpenPage[] = []) {
    this.height = mapHeight(sizeBytes, blockBytes);
    this.#blockBytes = blockBytes;
    this.#sealPage = sealPage;
    for (const { level, index, page } of pages) {
      assert(page.length === pageBytes && level <= this.height, 'a page of the map is of its size');
      if (level === 1) {
        this.#leaf = this.#beginLeaf(index, new Uint8Array(page));
        this.#reached = index;
      } else this.#open.set(level, { index, page: new Uint8Array(page) });
    }
  }

  /** While nothing is under way: copies of the pages that are not whole. All others are sealed when it resolves. */
  async state(): Promise<OpenPage[]> {
    await this.#before;
    const pages = [...this.#open].map(([level, { index, page }]) => ({ level, index, page: page.slice() }));
    if (this.#leaf === undefined) return pages;
    return [...pages, { level: 1, index: this.#leaf.index, page: this.#leaf.page.slice() }];
  }

  /** Calls come in ascending order, and no segment reaches over the end of a leaf. */
  place(offset: number, blocks: number): Place {
    const first = offset / this.#blockBytes;
    const index = Math.floor(first / fanout);
    const at = (first % fanout) * digestBytes;
    assert(at + blocks * digestBytes <= pageBytes, 'a segment lies within one leaf');
    if (this.#leaf?.index !== index) {
      assert(this.#reached < index, 'segments come in ascending order');
      this.#reached = index;
      this.#completeLeaf();
      this.#leaf = this.#beginLeaf(index);
    }
    const leaf = this.#leaf;
    assert(leaf !== undefined, 'there is a leaf');
    leaf.underWay += 1;
    return {
      addresses: leaf.page.subarray(at, at + blocks * digestBytes),
      done: () => {
        leaf.underWay -= 1;
        if (leaf.complete && leaf.underWay === 0) leaf.ready.open();
      },
    };
  }

  /** Takes over a whole leaf that is stored already, by its address; calls come in order with those of `place`. */
  placeLeaf(offset: number, address: Uint8Array): void {
    const index = offset / this.#blockBytes / fanout;
    assert(Number.isInteger(index), 'a leaf is taken over from its beginning');
    assert(this.#reached < index, 'leaves come in ascending order');
    this.#reached = index;
    this.#completeLeaf();
    this.#leaf = undefined;
    this.#enqueue(() => this.#add(2, index, address));
    this.#before = this.#chain;
  }

  /** Waits while leaves come faster than they can be sealed, so that few are held in memory. Only for the oldest: the last
   *  leaf ends with a segment that may come from who waits here. */
  async keepUp(): Promise<void> {
    while (this.#backlog.length > backlogMax) await this.#backlog[0];
  }

  /** All places are done. Gives the address of the root page. */
  async finish(): Promise<Uint8Array> {
    this.#completeLeaf();
    await this.#chain;
    for (let level = 2; level <= this.height; level += 1) await this.#closePage(level);
    return this.#root;
  }

  #beginLeaf(index: number, page: Uint8Array = new Uint8Array(pageBytes)): Leaf {
    const leaf: Leaf = {
      index,
      page,
      underWay: 0,
      complete: false,
      ready: gate(),
    };
    this.#before = this.#chain;
    this.#enqueue(async () => {
      await leaf.ready.opened;
      await this.#add(2, leaf.index, await this.#sealPage(leaf.page));
    });
    return leaf;
  }

  #enqueue(step: () => Promise<void>): void {
    this.#chain = this.#chain.then(step).then(() => void this.#backlog.shift());
    this.#backlog.push(this.#chain);
    // Who calls `finish` sees a failure; a backup that is given up does not ask.
    this.#chain.catch(() => undefined);
  }

  #completeLeaf(): void {
    if (this.#leaf === undefined) return;
    this.#leaf.complete = true;
    if (this.#leaf.underWay === 0) this.#leaf.ready.open();
  }

  /** Puts the address of page `index` of the level below into its page of `level`. */
  async #add(level: number, index: number, address: Uint8Array): Promise<void> {
    if (level > this.height) {
      this.#root = address;
      return;
    }
    if (isZero(address)) return;
    const parent = Math.floor(index / fanout);
    if (this.#open.get(level)?.index !== parent) {
      await this.#closePage(level);
      this.#open.set(level, { index: parent, page: new Uint8Array(pageBytes) });
    }
    this.#open.get(level)?.page.set(address, (index % fanout) * digestBytes);
  }

  async #closePage(level: number): Promise<void> {
    const open = this.#open.get(level);
    if (open === undefined) return;
    this.#open.delete(level);
    await this.#add(level + 1, open.index, await this.#sealPage(open.page));
  }
}
