/** One event as a line for people. Pure. */

import type { EventValue } from '../../daemon/protocol/values.ts';
import { printable } from './text.ts';
import { bytesText, rateText } from './units.ts';

export function eventLine(event: EventValue): string {
  const { time, volume_name, backup_id, backup_name, status, percent, error } = event;
  const name = backup_name === null ? backup_id : `${backup_id} (${backup_name})`;
  const parts = [time, event.event, `"${volume_name}"`, name, status];
  if (event.event.endsWith('.progress')) {
    parts.push(`${percent} %`, `${bytesText(event.bytes_done)} of ${bytesText(event.bytes_total)}`);
    parts.push(rateText(event.bytes_per_second));
  }
  if (error !== null) parts.push(error.message);
  return `${printable(parts.join('  '))}\n`;
}
