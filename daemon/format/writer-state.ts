/** A backup in the making, as it is kept so that it can be taken up again: the pages of its map that are not whole yet, and what
 *  was counted. At most one page a level. Types only. */

/** A page under construction: entry by entry, addresses of the level below; level 1 holds addresses of blocks. */
export interface OpenPage {
  readonly level: number;
  readonly index: number;
  readonly page: Uint8Array;
}

export interface WriterCounts {
  readonly readBytes: number;
  readonly knownBytes: number;
  readonly newBytes: number;
  readonly storedBytes: number;
  readonly sealedZeroBytes: number;
  readonly coveredBytes: number;
}

export interface WriterState {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly pages: readonly OpenPage[];
  readonly counts: WriterCounts;
}
