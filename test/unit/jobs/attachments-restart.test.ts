/** Attachments across the end of one daemon, however it comes, and the start of the next. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import type { AttachmentUser } from '../../../daemon/catalog/records.ts';
import { type AttachmentWorld, attachmentWorld, job } from '../../support/attachment-world.ts';
import { faultOf } from '../../support/devices.ts';
import { type Step, steps } from '../../support/fake-connector.ts';

let storage: AttachmentWorld['storage'];
let attachments: AttachmentWorld['attachments'];
let another: AttachmentWorld['another'];
let acquire: AttachmentWorld['acquire'];
beforeEach(() => {
  ({ storage, attachments, another, acquire } = attachmentWorld());
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

  const byOperator = ({ kind }: AttachmentUser) => kind === 'operator';
  const operators = [{ kind: 'operator' }];

  test('what the operator holds is his again', async () => {
    const hold = await acquire('a');
    await attachments.holdForOperator(hold);
    const next = another();
    await next.inherit(byOperator);
    await next.settle();
    expect(next.list()).toMatchObject([{ id: hold.id, status: 'attached', users: operators }]);
  });

  test('and so it is where it has to be attached anew', async () => {
    const hold = await acquire('a');
    await attachments.holdForOperator(hold);
    rmSync(join(storage.folder, 'host', 'a.img'));
    const next = another();
    await next.inherit(byOperator);
    await next.settle();
    expect(next.list()).toMatchObject([{ id: hold.id, status: 'attached', users: operators, fault: null }]);
    expect(storage.left()).toEqual(['a.img', `session-${hold.id}`]);
  });

  test('where it can not be attached any more the record says so, until it is detached', async () => {
    const hold = await acquire('a');
    await attachments.holdForOperator(hold);
    rmSync(join(storage.folder, 'host', 'a.img'));
    storage.before = (step) => {
      if (step === 'login') throw new Fault('ATTACH_FAILED', 'Cannot attach "a": no route');
    };
    const next = another();
    await next.inherit(byOperator);
    await next.settle();
    expect(storage.left()).toEqual([]);
    expect(next.list()).toMatchObject([
      { status: 'stale', users: operators, fault: { code: 'ATTACH_FAILED' } },
    ]);
    storage.before = () => undefined;
    const third = another();
    await third.inherit(byOperator);
    await third.settle();
    expect(third.list()).toMatchObject([{ status: 'attached', users: operators }]);
    await third.detach(hold.id, false, () => undefined);
    expect(storage.left()).toEqual([]);
    expect(third.list()).toEqual([]);
  });

  test('what another device has taken the place of is not given to the operator', async () => {
    await attachments.holdForOperator(await acquire('a'));
    storage.show('a', Buffer.alloc(4096, 'z'), 'naa.z');
    const next = another();
    await next.inherit(byOperator);
    await next.settle();
    expect(next.list()).toMatchObject([{ status: 'stale', users: operators }]);
  });
});

test('at the end of the daemon what would end with it is detached, and there again for who holds it', async () => {
  const hold = await acquire('a');
  await attachments.holdForOperator(hold);
  await hold.release();
  await attachments.close(5_000);
  expect(storage.left()).toEqual([]);
  expect(attachments.list()).toMatchObject([{ status: 'stale', built: null }]);
  const next = another();
  await next.inherit(({ kind }) => kind === 'operator');
  await next.settle();
  expect(next.list()).toMatchObject([{ id: hold.id, status: 'attached' }]);
  await next.detach(hold.id, false, () => undefined);
  expect(storage.left()).toEqual([]);
});
