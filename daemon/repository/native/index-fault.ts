/** Failures of the index as a row of the fault table: its folder is full or fails, which is no fault of a source or target. */

import { Fault } from '../../base/faults.ts';

const isOfIndex = (thrown: unknown): thrown is Error =>
  thrown instanceof Error && 'code' in thrown && thrown.code === 'INDEX';

/** STORAGE_FAILED for a failure of the index; anything else as it is. */
export function throwIndexFault(thrown: unknown): never {
  if (!isOfIndex(thrown)) throw thrown;
  throw new Fault('STORAGE_FAILED', `Cannot use the index of the repository: ${thrown.message}`, {
    cause: thrown,
    hint: 'Look for space and for errors where the state folder is',
  });
}
