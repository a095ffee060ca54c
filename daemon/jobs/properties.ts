/** Changes of the properties of a backup or volume. Pure. INVALID_ARGUMENT where there would be too many. */

import { Fault } from '../base/faults.ts';
import { propertiesBytesMax } from '../base/limits.ts';

export interface PropertyChange {
  /** Set, or put in the place of what is there. */
  readonly properties: Readonly<Record<string, string>>;
  /** All that is there goes first. */
  readonly clear_properties: boolean;
  readonly remove_properties: readonly string[];
}

/** The properties after the change. Removing what is not there is no fault. */
export function changedProperties(
  before: Readonly<Record<string, string>>,
  { properties, clear_properties, remove_properties }: PropertyChange,
): Record<string, string> {
  const removed = new Set(remove_properties);
  const kept = clear_properties ? [] : Object.entries(before).filter(([key]) => !removed.has(key));
  const after = Object.fromEntries([...kept, ...Object.entries(properties)]);
  if (JSON.stringify(after).length <= propertiesBytesMax) return after;
  throw new Fault('INVALID_ARGUMENT', 'Cannot set the properties: together they are larger than 64 KiB');
}
