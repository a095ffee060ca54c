/** Pages of maps, read verified and kept in lent memory.
 *  Promises: a page is handed out only within `use`, which runs at once when the page is there, so that its memory can't be
 *  used for another page meanwhile; a page that can't be read throws CHUNK_CORRUPT. Knows nothing of what pages say. */

import { setImmediate } from 'node:timers/promises';
import { Fault } from '../../base/faults.ts';
import { pageBytes } from '../../format/layout.ts';
import { readBlocks } from './block-reader.ts';
import type { NativeParts } from './parts.ts';

/** Reads that may be under way at a time: each needs a page and as much scratch. */
const loadsMax = 8;
/** Pages handed out before others get their turn. */
const usesPerTurn = 256;

export const pageCacheBytesMin = 2 * loadsMax * pageBytes + 16 * pageBytes;

export class PageCache {
  readonly #parts: NativeParts;
  readonly #free: Uint8Array[] = [];
  readonly #scratch: Uint8Array[] = [];
  /** Hex address to page; the first is the one used longest ago. */
  readonly #pages = new Map<string, Uint8Array>();
  readonly #loading = new Map<string, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #uses = 0;

  /** `memory`: at least `pageCacheBytesMin`. */
  constructor(parts: NativeParts, memory: Uint8Array) {
    this.#parts = parts;
    for (let at = 0; at + pageBytes <= memory.length; at += pageBytes) {
      const page = memory.subarray(at, at + pageBytes);
      (this.#scratch.length < loadsMax ? this.#scratch : this.#free).push(page);
    }
  }

  async use<T>(address: Uint8Array, use: (page: Uint8Array) => T): Promise<T> {
    const key = Buffer.from(address.buffer, address.byteOffset, address.length).toString('hex');
    this.#uses += 1;
    // A map may name the same few pages any number of times: walking them must not hold up everybody else.
    if (this.#uses % usesPerTurn === 0) await setImmediate();
    for (;;) {
      const page = this.#pages.get(key);
      if (page !== undefined) {
        this.#pages.delete(key);
        this.#pages.set(key, page);
        return use(page);
      }
      let loading = this.#loading.get(key);
      if (loading === undefined) {
        loading = this.#load(key).finally(() => this.#loading.delete(key));
        this.#loading.set(key, loading);
      }
      await loading;
    }
  }

  /** Forgets all pages, so that the next reads come from the storage. */
  clear(): void {
    this.#free.push(...this.#pages.values());
    this.#pages.clear();
  }

  /** Resolves when nothing is read into its memory any more of what was asked for so far. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#loading.values());
  }

  async #load(key: string): Promise<void> {
    let scratch = this.#scratch.pop();
    while (scratch === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      scratch = this.#scratch.pop();
    }
    const page = this.#free.pop() ?? this.#evict();
    try {
      const bad = await readBlocks(this.#parts, {
        addresses: Buffer.from(key, 'hex'),
        blockBytes: pageBytes,
        output: page,
        scratch,
        inOrder: false,
      });
      if (bad[0] !== undefined) {
        throw new Fault('CHUNK_CORRUPT', `Cannot read page "${key}" of the map: ${bad[0].reason}`);
      }
      this.#pages.set(key, page);
    } catch (thrown) {
      this.#free.push(page);
      throw thrown;
    } finally {
      this.#scratch.push(scratch);
      this.#waiting.shift()?.();
    }
  }

  #evict(): Uint8Array {
    for (const [key, page] of this.#pages) {
      this.#pages.delete(key);
      return page;
    }
    throw new Fault('MEMORY_BUDGET', 'Cannot read a page of the map: its cache has no memory');
  }
}
