/** Layouts of the small records that say where a block is; the addon writes and reads the same bytes (little endian). Pure.
 *  "raw | encoding": raw length in the lower 24 bits, encoding in the upper 8. */

/** Entry of a pack's directory: address[32], offset u32, stored length u32, raw | encoding u32, zero u32. */
export const entryBytes = 48;
/** Location in the index: pack number u32, offset u32, stored length u32, raw | encoding u32; all zeros: not known. */
export const locationBytes = 16;
/** Order to decode a block: address[32], input offset u32, stored length u32, raw | encoding u32, output offset u32. */
export const decodeOrderBytes = 48;

export const encodingRaw = 1;
export const encodingZstd = 2;

export const rawLength = (rawAndEncoding: number): number => rawAndEncoding & 0xffffff;
