/** The journal of an iSCSI attachment: what all of SCSI has, and its sessions with their records. */

import type { Built, Json } from '../connector.ts';
import { isMap, type JsonMap, listOf, readScsiBuilt, type ScsiBuilt, textOf } from '../scsi/built.ts';
import type { Portal } from './connection.ts';

export type SessionBuilt = {
  readonly portal: string;
  readonly iqn: string;
  /** Null: not logged in, as far as is known. */
  readonly sid: number | null;
  /** Of our making, or of that of another attachment of ours. */
  readonly made: boolean;
  /** A login has begun, and nobody has seen its end. */
  readonly trying: boolean;
  /** The record to be given back. */
  readonly record: string | null;
  /** There was none before: whatever is found is ours. */
  readonly fresh: boolean;
};

export type IscsiBuilt = ScsiBuilt & { readonly sessions: readonly SessionBuilt[] };

function readSession(value: Json): SessionBuilt[] {
  if (!isMap(value)) return [];
  const [portal, iqn] = [textOf(value['portal']), textOf(value['iqn'])];
  const sid = typeof value['sid'] === 'number' ? value['sid'] : null;
  if (portal === '' || iqn === '') return [];
  const [made, trying, fresh] = ['made', 'trying', 'fresh'].map((name) => value[name] === true);
  const record = textOf(value['record']) || null;
  return [{ portal, iqn, sid, made: made === true, trying: trying === true, record, fresh: fresh === true }];
}

export const readIscsiBuilt = (built: Built): IscsiBuilt => ({
  ...readScsiBuilt(built),
  sessions: listOf(built['sessions']).flatMap(readSession),
});

/** As a place in the journal, and back. */
export const placeOf = ({ portal, iqn, lun }: Portal): JsonMap => ({ portal, iqn, lun });

export const portalOf = (place: JsonMap): Portal => ({
  portal: textOf(place['portal']),
  iqn: textOf(place['iqn']),
  lun: typeof place['lun'] === 'number' ? place['lun'] : -1,
});

export const viaOf = ({ portal, iqn, lun }: Portal): string => `${portal} ${iqn} lun ${lun}`;
