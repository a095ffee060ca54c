/** Options that carry properties. `--property` and `--no-property` may come in any order and together: what is there goes first,
 *  then what is named is set. */

import { type Command, InvalidArgumentError } from 'commander';
import { collect } from './verb.ts';

type Properties = Readonly<Record<string, string>>;

export function collectProperty(text: string, before: Properties = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('A property is KEY=VALUE.');
  const key = text.slice(0, at);
  if (key === '__proto__') throw new InvalidArgumentError('This key cannot be used.');
  return { ...before, [key]: text.slice(at + 1) };
}

export interface PropertyChange {
  readonly properties?: Properties;
  readonly clear_properties?: true;
}

/** Adds both options to a verb; what is given back tells what was asked for. */
export function withPropertyOptions(command: Command): () => PropertyChange {
  let properties: Properties | undefined;
  let clears = false;
  command
    .option('--property <KEY=VALUE>', 'property to set; may be repeated', (text) => {
      properties = collectProperty(text, properties);
      return properties;
    })
    .option('--no-property', 'remove all properties first');
  command.on('option:no-property', () => {
    clears = true;
  });
  return () => ({
    ...(properties === undefined ? {} : { properties }),
    ...(clears ? { clear_properties: true } : {}),
  });
}

/** Adds the option of the verbs that remove properties. */
export const withRemovedProperties = (command: Command): Command =>
  command.requiredOption('--property <KEY>', 'property to remove; may be repeated', collect);
