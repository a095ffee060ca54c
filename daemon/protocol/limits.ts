/** Bounds of the protocol that a client keeps to by itself. Knows nothing beyond what base has. */

export { changedExtentsMax } from '../base/limits.ts';
