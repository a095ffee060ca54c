/** Units and small helpers for bytes and digests. Pure. */

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

/** Length of every digest in the format: BLAKE3-256. */
export const digestBytes = 32;

/** `value` rounded up to a multiple of `unit`. Safe for values up to 2^53. */
export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

export const roundDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
