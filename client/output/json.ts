/** JSON for programs: exact numbers, keys as the protocol has them. Safe to look at on a terminal. Pure. */

import { printableJson } from './text.ts';

/** On one line, for streams. */
export const jsonLine = (value: unknown): string => `${printableJson(JSON.stringify(value))}\n`;

export const jsonText = (value: unknown): string => `${printableJson(JSON.stringify(value, null, 2))}\n`;
