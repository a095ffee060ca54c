/** Clients of the control socket that do not read, or read late: what waits for them stays bounded. */

import { expect, test } from 'vitest';
import { clientBacklogBytesMax, requestsPerClientMax } from '../../daemon/base/limits.ts';
import type { Caller, Handlers } from '../../daemon/control/dispatch.ts';
import { encodeFrame } from '../../daemon/protocol/frames.ts';
import type { EventValue } from '../../daemon/protocol/values.ts';
import { isAnswered, job, othersGoOn } from '../support/bystander.ts';
import { fakeEvent, fakeJob, testServer } from '../support/control-server.ts';
import { RawClient } from '../support/raw-client.ts';

test('a client that asks much and reads late is not read from meanwhile, and gets every answer in the end', async () => {
  const total = 60_000;
  const server = await testServer(isAnswered, { stallMs: 60_000 });
  const beside = await RawClient.greeted(server.path);
  const late = await RawClient.greeted(server.path);
  late.socket.pause();
  const request = { method: 'job.show', params: { job: job.id } };
  const frames = Array.from({ length: total }, (_, id) => encodeFrame({ id, ...request }));
  const sent = Buffer.concat(frames);
  const before = process.memoryUsage().arrayBuffers;
  late.sendBytes(sent);
  for (let round = 0; round < 50; round += 1) await othersGoOn(server.path, beside);
  // Most still waits on the side of the client.
  expect(late.socket.writableLength).toBe(sent.length);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(clientBacklogBytesMax);
  late.socket.resume();
  const answered = new Set<number>();
  while (answered.size < total) {
    const answer = await late.next();
    if (answer === undefined) break;
    answered.add(Number(answer.id));
  }
  expect(answered.size).toBe(total);
});

const large = (bytes: number): Partial<Handlers> => ({
  ...isAnswered,
  'job.list': () => Promise.resolve({ jobs: [fakeJob({ phase: 'x'.repeat(bytes) })] }),
});

test('more answers than may wait for a client that does not read cut it off', async () => {
  const server = await testServer(large(900_000), { stallMs: 60_000 });
  const beside = await RawClient.greeted(server.path);
  const deaf = await RawClient.greeted(server.path);
  deaf.socket.pause();
  const before = process.memoryUsage().arrayBuffers;
  const requests = Array.from({ length: requestsPerClientMax }, (_, id) =>
    encodeFrame({ id, method: 'job.list' }),
  );
  deaf.sendBytes(Buffer.concat(requests));
  const cut = await untilLogged(server.log, /Cutting off a client/);
  expect(cut.msg).toMatch(/does not read its answers/);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * clientBacklogBytesMax);
  deaf.socket.resume();
  expect((await deaf.ended()).length).toBeLessThan(requestsPerClientMax);
  await othersGoOn(server.path, beside);
});

test('a client that leaves even one answer unread is not kept for ever', async () => {
  const server = await testServer(large(900_000), { stallMs: 200 });
  const beside = await RawClient.greeted(server.path);
  const deaf = await RawClient.greeted(server.path);
  deaf.socket.pause();
  deaf.send({ id: 1, method: 'job.list' });
  const cut = await untilLogged(server.log, /Cutting off a client/);
  expect(cut.msg).toMatch(/for too long/);
  deaf.socket.resume();
  expect(await deaf.ended()).toEqual([]);
  await othersGoOn(server.path, beside);
});

/** Waits for a line of the log, turn by turn of the event loop. */
async function untilLogged(log: readonly { msg: string }[], pattern: RegExp): Promise<{ msg: string }> {
  for (;;) {
    const line = log.find(({ msg }) => pattern.test(msg));
    if (line !== undefined) return line;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('events for a client that does not read are merged: it gets the newest, and its answer', async () => {
  const count = 20_000;
  const server = await testServer({
    ...isAnswered,
    'job.watch': async (_params, caller) => {
      for (let done = 1; done <= count; done += 1) {
        caller.emit(fakeJob({ bytes_done: done }));
        if (done % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return fakeJob({ bytes_done: count, status: 'done' });
    },
  });
  const beside = await RawClient.greeted(server.path);
  const slow = await RawClient.greeted(server.path);
  slow.socket.pause();
  slow.send({ id: 1, method: 'job.watch', params: { job: job.id } });
  for (let round = 0; round < 30; round += 1) await othersGoOn(server.path, beside);
  slow.socket.resume();
  let events = 0;
  let last = 0;
  let answer = await slow.next();
  for (; answer?.event === 'job'; answer = await slow.next()) {
    const { bytes_done: done } = answer.data as { bytes_done: number };
    expect(done).toBeGreaterThan(last);
    last = done;
    events += 1;
  }
  expect(answer).toMatchObject({ id: 1, result: { status: 'done', bytes_done: count } });
  expect(events).toBeGreaterThan(0);
  expect(events).toBeLessThan(count / 4);
  // Nothing of the request comes after its answer.
  slow.send({ id: 2, method: 'job.show', params: { job: job.id } });
  expect(await slow.next()).toMatchObject({ id: 2, result: job });
});

test('a client of which half a frame is always on its way is not taken for stalled', async () => {
  const stallMs = 100;
  const server = await testServer(isAnswered, { stallMs });
  const busy = await RawClient.greeted(server.path);
  const request = (id: number) => encodeFrame({ id, method: 'job.show', params: { job: job.id } });
  const until = performance.now() + 4 * stallMs;
  busy.sendBytes(request(1).subarray(0, 9));
  for (let id = 1; performance.now() < until; id += 1) {
    busy.sendBytes(Buffer.concat([request(id).subarray(9), request(id + 1).subarray(0, 9)]));
    expect(await busy.next()).toMatchObject({ id, result: job });
  }
});

test('a follower of events that is slow misses progress, but no start and no end', async () => {
  const told = (number: number, step: string) =>
    fakeEvent({
      job_id: `job ${number % 5}`,
      event: `create.${step}`,
      bytes_done: number,
      fail_reason: 'x'.repeat(200),
    });
  let follow: (caller: Caller) => void = () => undefined;
  const following = new Promise<Caller>((resolve) => {
    follow = resolve;
  });
  const server = await testServer(
    {
      ...isAnswered,
      'events.follow': (_, from) => {
        follow(from);
        return new Promise<never>(() => undefined);
      },
    },
    { stallMs: 60_000 },
  );
  const beside = await RawClient.greeted(server.path);
  const slow = await RawClient.greeted(server.path);
  slow.send({ id: 1, method: 'events.follow' });
  const caller = await following;
  slow.socket.pause();
  const before = process.memoryUsage().arrayBuffers;
  const total = 50_000;
  for (let number = 0; number < total; number += 1) {
    caller.tell(told(number, number % 100 === 0 ? 'end' : 'progress'));
    if (number % 1000 === 0) await othersGoOn(server.path, beside);
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * clientBacklogBytesMax);
  caller.tell(told(total, 'end'));
  slow.socket.resume();
  const heard: EventValue[] = [];
  while (heard.at(-1)?.bytes_done !== total) heard.push((await slow.next())?.data as EventValue);
  const ends = heard.filter(({ event }) => event === 'create.end').map(({ bytes_done }) => bytes_done);
  expect(ends).toEqual(Array.from({ length: total / 100 + 1 }, (_, index) => index * 100));
  expect(heard.length).toBeLessThan(total / 10);
});
