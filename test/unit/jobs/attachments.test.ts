/** Attachments: shared, journaled, and gone at the end, whatever fails in between. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { type AttachmentWorld, attachmentWorld, job } from '../../support/attachment-world.ts';
import { faultOf } from '../../support/devices.ts';
import type { Step } from '../../support/fake-connector.ts';

let storage: AttachmentWorld['storage'];
let attachments: AttachmentWorld['attachments'];
let another: AttachmentWorld['another'];
let locationOf: AttachmentWorld['locationOf'];
let acquire: AttachmentWorld['acquire'];
beforeEach(() => {
  ({ storage, attachments, another, locationOf, acquire } = attachmentWorld());
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

  test('is not shared with who comes with another secret; when nobody has it, it is attached anew with that', async () => {
    const hold = await acquire('a');
    const other = { location: locationOf('a', 'guessed') };
    const refused = await faultOf(acquire('a', 'two', other));
    expect(refused.code).toBe('ATTACH_DENIED');
    expect(refused.message).not.toContain('guessed');
    expect((await hold.verify()).identity.names).toEqual(['naa.a']);
    hold.keep();
    // The same user, too: what he has must not go for a secret that may be wrong.
    expect((await faultOf(acquire('a', 'one', other))).code).toBe('ATTACH_DENIED');
    await (await acquire('a')).release();
    const anew = await acquire('a', 'two', other);
    expect(anew.id).not.toBe(hold.id);
    await anew.release();
  });

  test('that shows only the moment of its attach is read by nobody else, who would take it for the device as it is', async () => {
    storage.frozen = true;
    const early = await acquire('a');
    expect(await faultOf(acquire('a', 'two'))).toMatchObject({ code: 'DEVICE_BUSY' });
    await early.release();
    const writing = await acquire('a', 'two', { access: 'write' });
    expect((await acquire('a')).id).toBe(writing.id);
  });

  test('shows at each later look which of its ways could not be brought up, until it is scanned for', async () => {
    storage.down = ['portal two'];
    const hold = await acquire('a');
    const waysOf = async () =>
      (await attachments.look(hold.id, 1000))?.paths.map(({ via, state }) => `${via} ${state}`);
    const both = ['folder active', 'portal two missing'];
    expect(await waysOf()).toEqual(both);
    await (await acquire('a', 'two')).release();
    expect(await waysOf()).toEqual(both);
    await attachments.rescan(hold.id, new AbortController().signal, () => undefined);
    expect(await waysOf()).toEqual(['folder active']);
    await hold.release();
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

test('a look at a device that never answers ends, and is no look', async () => {
  const hold = await acquire('a');
  storage.before = () => new Promise(() => undefined);
  const fault = await faultOf(attachments.look(hold.id, 100));
  expect(fault).toMatchObject({ code: 'DEVICE_FAILED', message: expect.stringContaining('within 0.1 s') });
  storage.before = () => undefined;
  await hold.release();
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
