/** Bounds of the protocol that a client keeps to by itself. Knows nothing beyond what base has. */

export { changedExtentsMax, fileReadBytesMax } from '../base/limits.ts';
