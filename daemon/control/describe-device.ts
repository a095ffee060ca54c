/** An attached device as it is shown: what is recorded of it, and what a fresh look says.
 *  Promises: a device that does not answer is shown as it was at the last look, with the reason; secrets of a connection are never
 *  among what is shown. */

import { toFault } from '../base/faults.ts';
import type { AttachmentRecord } from '../catalog/records.ts';
import type { Stray } from '../jobs/attachments/strays.ts';
import type { Services } from '../jobs/services.ts';
import type { DeviceValue, FaultValue } from '../protocol/values.ts';

type Parts = Pick<Services, 'attachments'>;
/** Who lists devices must not wait for one that hangs. */
const lookLimitMs = 5_000;

export async function listDevices(services: Parts, stale: boolean): Promise<DeviceValue[]> {
  const records = services.attachments.list();
  const wanted = stale ? records.filter(({ status }) => status === 'error' || status === 'stale') : records;
  const shown = await Promise.all(wanted.map((record) => showDevice(services, record)));
  if (!stale) return shown;
  return [...shown, ...(await services.attachments.strays(lookLimitMs)).map(strayValue)];
}

/** Of what has no record only little is known. */
const strayValue = ({ id, url, kind, what }: Stray): DeviceValue => ({
  id,
  url,
  kind,
  status: 'stale',
  access: 'read',
  device: null,
  number: null,
  map: null,
  size_bytes: null,
  block_bytes: null,
  names: [],
  serial: null,
  paths: [],
  paths_expected: 0,
  paths_lost: 0,
  users: [],
  waiting_for: null,
  created_at: '',
  updated_at: '',
  fault: {
    code: 'DEVICE_LEFT',
    message: `Found what an attachment of "${url}" has left that nobody has a record of: ${what}`,
    hint: `Clear it away with: basaltctl device detach ${id}`,
  },
});

export async function showDevice({ attachments }: Parts, record: AttachmentRecord): Promise<DeviceValue> {
  const looked = await attachments.look(record.id, lookLimitMs).then(
    (view) => ({ view, fault: null }),
    (thrown: unknown): { view: undefined; fault: FaultValue } => {
      const { code, message, hint } = toFault(thrown);
      return { view: undefined, fault: { code, message, hint } };
    },
  );
  const seen = looked.view ?? record.seen;
  const paths = (seen?.paths ?? []).map((path) => ({ ...path }));
  const { id, url, status, access, users, created_at, updated_at } = record;
  return {
    id,
    url,
    kind: record.connection.kind,
    status,
    access,
    device: seen?.device ?? null,
    number: seen?.number ?? null,
    map: seen?.map ?? null,
    size_bytes: seen?.size_bytes ?? null,
    block_bytes: seen?.block_bytes ?? null,
    names: [...(seen?.names ?? [])],
    serial: seen?.serial ?? null,
    paths,
    paths_expected: paths.length,
    paths_lost: paths.filter(({ state }) => state === 'failed' || state === 'missing').length,
    users: users.map((user) => ({ ...user })),
    waiting_for: attachments.noteOf(id),
    created_at,
    updated_at,
    fault: looked.fault ?? recordedFault(record),
  };
}

function recordedFault({ fault }: AttachmentRecord): FaultValue | null {
  if (fault === null) return null;
  const { left, ...rest } = fault;
  return { ...rest, details: { left: [...left] } };
}
