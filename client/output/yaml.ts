/** YAML: the same values as JSON, for eyes and configuration tools. Safe to look at on a terminal. Pure. */

import { stringify } from 'yaml';
import { hasDangerous, printableJson } from './text.ts';

/** Only a double-quoted scalar can hold an escape, so where one is needed every text is quoted. */
export function yamlText(value: unknown): string {
  const json = JSON.stringify(value);
  if (!/\\[bfnrtu]/.test(json) && !hasDangerous(json)) return stringify(value, { lineWidth: 0 });
  const quoted = stringify(value, {
    defaultStringType: 'QUOTE_DOUBLE',
    defaultKeyType: 'QUOTE_DOUBLE',
    doubleQuotedAsJSON: true,
    lineWidth: 0,
  });
  return printableJson(quoted);
}
