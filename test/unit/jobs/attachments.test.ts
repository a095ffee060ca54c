/** Attachments: shared, journaled, and gone at the end, whatever fails in between. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../daemon/base/clock.ts';
import { Fault } from '../../../daemon/base/faults.ts';
import type { Catalog } from '../../../daemon/catalog/catalog.ts';
import { openLmdbCatalog } from '../../../daemon/catalog/lmdb-catalog.ts';
import type { AttachmentUser } from '../../../daemon/catalog/records.ts';
import { systemFolders } from '../../../daemon/devices/connect/connector.ts';
import { connectorsOf, type RemoteLocation } from '../../../daemon/devices/connect/connectors.ts';
import { createProbe } from '../../../daemon/devices/connect/probe.ts';
import { systemTools } from '../../../daemon/devices/connect/tools.ts';
import { type AcquireOrder, Attachments } from '../../../daemon/jobs/attachments/attachments.ts';
import { native } from '../../../native/native.ts';
import { FakeStorage, type Step, steps } from '../../support/fake-connector.ts';

let folder = '';
let storage: FakeStorage;
let catalog: Catalog;
let attachments: Attachments;

const policy = {
  multipath: true,
  enforceMultipath: false,
  pathsMin: 1,
  scanAttempts: 3,
  timeoutMs: 2_000,
};

/** A daemon with the same state, as after a restart. */
function another(): Attachments {
  return new Attachments({
    catalog,
    connectors: connectorsOf([storage.connector()]),
    clock: systemClock,
    log: pino({ level: 'silent' }),
    native,
    probe: createProbe(native),
    tools: systemTools,
    folders: systemFolders,
    policy,
    stateDirectory: join(folder, 'state'),
    lockDirectory: join(folder, 'locks'),
  });
}

const job = (id: string): AttachmentUser => ({ kind: 'job', id });

function locationOf(name: string): RemoteLocation {
  const location = connectorsOf([storage.connector()]).parse(`fake://user:swordfish@portal/${name}`);
  if (location.where !== 'attached') throw new Error('it is here');
  return location;
}

const acquire = (name: string, user = 'one', more: Partial<AcquireOrder> = {}, from = attachments) =>
  from.acquire({
    location: locationOf(name),
    user: job(user),
    access: 'read',
    wanted: null,
    signal: new AbortController().signal,
    note: () => undefined,
    ...more,
  });

const faultOf = async (call: Promise<unknown>): Promise<Fault> => {
  const thrown = await call.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (thrown instanceof Fault) return thrown;
  throw new Error(`no fault: ${String(thrown)}`);
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'basalt-attachments-'));
  mkdirSync(join(folder, 'state'));
  storage = new FakeStorage(join(folder, 'storage'));
  for (const name of ['a', 'b']) storage.show(name, Buffer.alloc(4096, name));
  catalog = openLmdbCatalog(join(folder, 'catalog.mdb'));
  attachments = another();
});
afterEach(async () => {
  await catalog.close();
  rmSync(folder, { recursive: true });
});

describe('one device', () => {
  test('is attached, journaled, looked at, and gone when it is released', async () => {
    const hold = await acquire('a');
    expect(storage.left()).toEqual(['a.img', `session-${hold.id}`]);
    const [record] = attachments.list();
    expect(record).toMatchObject({ status: 'attached', url: 'fake://portal/a', users: [job('one')] });
    expect(record?.built).toEqual({ session: hold.id, disk: 'a' });
    expect((await hold.verify()).identity.names).toEqual(['naa.a']);
    await hold.release();
    expect(storage.left()).toEqual([]);
    expect(attachments.list()).toEqual([]);
  });

  test('is shared by all who need it at the same time, and attached once', async () => {
    const holds = await Promise.all(['one', 'two', 'three'].map((user) => acquire('a', user)));
    expect(new Set(holds.map(({ id }) => id)).size).toBe(1);
    expect(storage.done.filter((step) => step === 'login')).toHaveLength(1);
    for (const hold of holds.slice(1)) await hold.release();
    expect(storage.left()).toHaveLength(2);
    await holds[0]?.release();
    expect(storage.left()).toEqual([]);
  });

  test('that is held for reading is not written to by another one; one held for writing is read', async () => {
    const reading = await acquire('a');
    expect(await faultOf(acquire('a', 'two', { access: 'write' }))).toMatchObject({ code: 'DEVICE_BUSY' });
    await reading.release();
    const writing = await acquire('a', 'two', { access: 'write' });
    const also = await acquire('a');
    expect(also.id).toBe(writing.id);
    await Promise.all([also.release(), writing.release()]);
    expect(storage.left()).toEqual([]);
  });

  test('that hangs does not hold up another one on the same portal', async () => {
    let go: () => void = () => undefined;
    storage.before = (step, { id }) => {
      const first = attachments.list().find((record) => record.id === id)?.url === 'fake://portal/a';
      if (!first || step !== 'login') return undefined;
      return new Promise<void>((resolve) => {
        go = resolve;
      });
    };
    const slow = acquire('a');
    const other = await acquire('b', 'two');
    await other.release();
    go();
    await (await slow).release();
    expect(storage.left()).toEqual([]);
  });
});

describe('the right device or none', () => {
  test('one that is not what was asked for is detached and refused', async () => {
    storage.show('a', Buffer.alloc(4096, 'z'), 'naa.z');
    const refused = await faultOf(acquire('a', 'one', { wanted: { names: ['naa.a'], serial: null } }));
    expect(refused.code).toBe('WRONG_DEVICE');
    expect(refused.message).toContain('naa.z');
    expect(storage.left()).toEqual([]);
    expect(attachments.list()).toEqual([]);
  });

  test('one that becomes another one while it is attached is told, to its holder and to who would share it', async () => {
    const hold = await acquire('a');
    storage.show('a', Buffer.alloc(4096, 'z'), 'naa.z');
    expect((await faultOf(hold.verify())).code).toBe('WRONG_DEVICE');
    expect((await faultOf(acquire('a', 'two'))).code).toBe('WRONG_DEVICE');
    expect((await faultOf(attachments.look(hold.id, 1000))).code).toBe('WRONG_DEVICE');
    await hold.release();
    expect(storage.left()).toEqual([]);
  });
});

describe('an attach that does not get to its end', () => {
  const attachSteps: readonly Step[] = ['journal login', 'login', 'journal disk', 'disk', 'identity'];

  test.each(attachSteps)('fails at "%s", and leaves nothing', async (broken) => {
    storage.before = (step) => {
      if (step === broken) throw new Fault('ATTACH_FAILED', 'Cannot attach "a": it broke');
    };
    expect((await faultOf(acquire('a'))).code).toBe('ATTACH_FAILED');
    expect(storage.left()).toEqual([]);
    expect(attachments.list()).toEqual([]);
    storage.before = () => undefined;
    await (await acquire('a')).release();
  });

  test('is called off: the caller goes on at once, and nothing is left a little later', async () => {
    const controller = new AbortController();
    let go: () => void = () => undefined;
    const begun = new Promise<void>((begin) => {
      storage.before = (step) => {
        if (step !== 'disk') return undefined;
        begin();
        return new Promise<void>((resolve) => {
          go = resolve;
        });
      };
    });
    const refused = faultOf(acquire('a', 'one', { signal: controller.signal }));
    await begun;
    controller.abort(new Fault('CANCELLED', 'Cancelled'));
    expect((await refused).code).toBe('CANCELLED');
    go();
    await attachments.quiet(5_000);
    expect(storage.left()).toEqual([]);
    expect(attachments.list()).toEqual([]);
  });

  test('takes too long: it says what it waited for', async () => {
    storage.before = (step, { signal }) => {
      if (step !== 'disk') return undefined;
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    };
    const { code, message } = await faultOf(acquire('a'));
    expect(code).toBe('ATTACH_FAILED');
    expect(message).toContain('within 2 s; its last step was: the login');
    expect(storage.left()).toEqual([]);
  });
});

describe('a detach that fails', () => {
  const breakDetach = () => {
    storage.before = (step) => {
      if (step === 'logout') throw new Error('the target does not answer');
    };
  };

  test('leaves the record in error with what is left; it goes with force, and only so', async () => {
    const hold = await acquire('a');
    breakDetach();
    await hold.release();
    const [record] = attachments.list();
    expect(record).toMatchObject({ status: 'error', users: [], fault: { code: 'DEVICE_LEFT' } });
    expect(record?.fault?.left).toEqual([`session-${hold.id}`]);
    expect((await faultOf(attachments.detach(hold.id, false, () => undefined))).code).toBe('DEVICE_LEFT');
    expect((await faultOf(attachments.detach(hold.id, true, () => undefined))).code).toBe('DEVICE_LEFT');
    storage.before = () => undefined;
    await attachments.detach(hold.id, true, () => undefined);
    expect(storage.left()).toEqual([]);
    expect(attachments.list()).toEqual([]);
  });

  test('is made good by the next one who needs the device', async () => {
    const hold = await acquire('a');
    breakDetach();
    await hold.release();
    expect((await faultOf(acquire('a', 'two'))).code).toBe('DEVICE_LEFT');
    storage.before = () => undefined;
    const next = await acquire('a', 'two');
    expect(next.id).not.toBe(hold.id);
    await next.release();
    expect(storage.left()).toEqual([]);
  });

  test('is made good by the next start', async () => {
    const hold = await acquire('a');
    breakDetach();
    await hold.release();
    storage.before = () => undefined;
    const next = another();
    await next.inherit(() => false);
    await next.settle();
    expect(storage.left()).toEqual([]);
    expect(next.list()).toEqual([]);
  });
});

describe('the operator', () => {
  test('holds a device beyond the job that attached it, and lets it go; a job that uses it is in the way', async () => {
    const hold = await acquire('a');
    await attachments.holdForOperator(hold);
    expect(await faultOf(attachments.detach(hold.id, true, () => undefined))).toMatchObject({
      code: 'DEVICE_BUSY',
      details: { used_by: ['job "one"'] },
    });
    await hold.release();
    expect(attachments.list()).toMatchObject([{ status: 'attached', users: [{ kind: 'operator' }] }]);
    await attachments.detach(hold.id, false, () => undefined);
    expect(storage.left()).toEqual([]);
  });
});

/** Ends the process for the attachments: nothing that they would do after `step` is done. */
async function dieBefore(step: Step): Promise<void> {
  await new Promise<void>((resolve) => {
    storage.before = (now) => {
      if (now !== step) return undefined;
      resolve();
      return new Promise(() => undefined);
    };
    const went = acquire('a').then((hold) => hold.release());
    went.catch(() => undefined);
  });
  storage.before = () => undefined;
}

describe('a daemon that was killed', () => {
  test.each(steps)('before "%s": the next one leaves nothing of it', async (step) => {
    await dieBefore(step);
    const next = another();
    expect(await next.inherit(() => false)).toHaveLength(1);
    expect(next.list()).toMatchObject([{ status: 'stale', users: [] }]);
    await next.settle();
    expect(next.list()).toEqual([]);
    expect(storage.left()).toEqual([]);
  });

  test.each(steps)('before "%s": the job that goes on has its device again', async (step) => {
    await dieBefore(step);
    const next = another();
    await next.inherit(() => true);
    await next.settle();
    const hold = await acquire('a', 'one', {}, next);
    expect(storage.left()).toEqual(['a.img', `session-${hold.id}`]);
    await hold.release();
    expect(storage.left()).toEqual([]);
    expect(next.list()).toEqual([]);
  });

  test('with a device that was whole: the job takes it up as it is, with nothing done to it', async () => {
    const first = await acquire('a');
    first.keep();
    const next = another();
    await next.inherit(() => true);
    await next.settle();
    storage.done.splice(0);
    const hold = await acquire('a', 'one', {}, next);
    expect(hold.id).toBe(first.id);
    expect(storage.done).toEqual(['identity']);
    await hold.release();
    expect(storage.left()).toEqual([]);
  });

  test('and its device has become another one: it is detached, and refused', async () => {
    (await acquire('a')).keep();
    storage.show('a', Buffer.alloc(4096, 'z'), 'naa.z');
    const next = another();
    await next.inherit(() => true);
    const wanted = { names: ['naa.a'], serial: null };
    expect((await faultOf(acquire('a', 'one', { wanted }, next))).code).toBe('WRONG_DEVICE');
    expect(storage.left()).toEqual([]);
  });

  test('whose job ends before it needs the device: it is let go', async () => {
    (await acquire('a')).keep();
    const next = another();
    await next.inherit(() => true);
    await next.settle();
    expect(storage.left()).toHaveLength(2);
    await next.forgetUser(job('one'));
    expect(storage.left()).toEqual([]);
  });

  test('what the operator holds is his again; where it is gone the record says so until he detaches it', async () => {
    const hold = await acquire('a');
    await attachments.holdForOperator(hold);
    const next = another();
    await next.inherit(({ kind }) => kind === 'operator');
    await next.settle();
    expect(next.list()).toMatchObject([{ status: 'attached', users: [{ kind: 'operator' }] }]);
    rmSync(join(storage.folder, 'host', 'a.img'));
    const third = another();
    await third.inherit(({ kind }) => kind === 'operator');
    await third.settle();
    expect(third.list()).toMatchObject([{ status: 'stale', users: [{ kind: 'operator' }] }]);
    await third.detach(hold.id, false, () => undefined);
    expect(storage.left()).toEqual([]);
    expect(third.list()).toEqual([]);
  });
});

test('what has no record is found and cleared away; what has one is not, nor while something is attached', async () => {
  const hold = await acquire('a');
  writeFileSync(join(storage.folder, 'host', 'session-forgotten'), '');
  const [stray, ...more] = await attachments.strays(1000);
  expect(more).toEqual([]);
  expect(stray).toMatchObject({ kind: 'fake', what: 'session-forgotten', url: 'fake://portal/unknown' });
  expect(await attachments.strays(1000)).toEqual([stray]);
  let go: () => void = () => undefined;
  storage.before = (step) =>
    step === 'login'
      ? new Promise<void>((resolve) => {
          go = resolve;
        })
      : undefined;
  const other = acquire('b', 'two');
  await vi.waitFor(() => expect(attachments.list()).toHaveLength(2));
  expect((await faultOf(attachments.clearStray(stray?.id ?? ''))).code).toBe('DEVICE_BUSY');
  go();
  storage.before = () => undefined;
  await (await other).release();
  await attachments.clearStray(stray?.id ?? '');
  expect(storage.left()).toEqual(['a.img', `session-${hold.id}`]);
  expect((await faultOf(attachments.clearStray(stray?.id ?? ''))).code).toBe('DEVICE_UNKNOWN');
  await hold.release();
});

test('no secret of a connection is in what is told of an attachment', async () => {
  const hold = await acquire('a');
  const { connection, ...told } = attachments.get(hold.id);
  expect(JSON.stringify(connection)).toContain('swordfish');
  expect(JSON.stringify(told)).not.toContain('swordfish');
  await hold.release();
});
