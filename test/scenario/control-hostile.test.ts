/** Clients of the control socket that are broken or mean harm, each beside one that behaves and must not notice. */

import { expect, test } from 'vitest';
import { clientsMax, frameBytesMax, frameDepthMax, requestsPerClientMax } from '../../daemon/base/limits.ts';
import { encodeFrame } from '../../daemon/protocol/frames.ts';
import { protocolVersion } from '../../daemon/protocol/version.ts';
import { isAnswered, job, othersGoOn, show } from '../support/bystander.ts';
import { fakeJob, testServer } from '../support/control-server.ts';
import { RawClient } from '../support/raw-client.ts';

const frame = (body: Uint8Array): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
};
const random = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, index) => (index * 197 + 193) & 0xff));

const broken: readonly (readonly [string, Buffer, string])[] = [
  ['a body of noise', frame(random(300)), 'PROTOCOL'],
  ['an empty body', frame(Buffer.alloc(0)), 'PROTOCOL'],
  ['a number instead of a request', encodeFrame(7), 'PROTOCOL'],
  ['a list instead of a request', encodeFrame([1, 'status']), 'PROTOCOL'],
  ['an id that is text', encodeFrame({ id: 'a', method: 'status' }), 'PROTOCOL'],
  ['an id below zero', encodeFrame({ id: -1, method: 'status' }), 'PROTOCOL'],
  ['an id that is no whole number', encodeFrame({ id: 0.5, method: 'status' }), 'PROTOCOL'],
  ['no method', encodeFrame({ id: 1 }), 'PROTOCOL'],
  ['nesting without an end', frame(Buffer.alloc(100_000, 0x91)), 'PROTOCOL'],
  [
    'nesting one too deep',
    frame(Buffer.concat([Buffer.alloc(frameDepthMax, 0x91), Buffer.of(0x90)])),
    'PROTOCOL',
  ],
  ['4 billion items in 5 bytes', frame(Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff)), 'PROTOCOL'],
  ['an extension', frame(Buffer.of(0xc7, 1, 0x62, 0)), 'PROTOCOL'],
  ['a __proto__ key', frame(Buffer.from('\x81\xa9__proto__\x80', 'latin1')), 'PROTOCOL'],
  [
    'a frame one byte too large',
    Buffer.concat([Buffer.of(0, 0x10, 0, 1), Buffer.alloc(100)]),
    'FRAME_TOO_LARGE',
  ],
  ['a frame of 4 GiB', Buffer.alloc(64, 0xff), 'FRAME_TOO_LARGE'],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), 'FRAME_TOO_LARGE'],
];

test.each(broken)('%s is answered once and ends that connection alone', async (_name, bytes, code) => {
  const server = await testServer(isAnswered);
  const beside = await RawClient.greeted(server.path);
  const hostile = await RawClient.greeted(server.path);
  hostile.sendBytes(bytes);
  hostile.send({ id: 5, method: 'job.show', params: { job: job.id } });
  const answers = await hostile.ended();
  expect(answers).toHaveLength(1);
  expect(answers[0]).toMatchObject({ id: null, error: { code } });
  await othersGoOn(server.path, beside);
});

const wrong: readonly (readonly [string, string, unknown, string, RegExp])[] = [
  ['an unknown method', 'backup.explode', {}, 'METHOD_UNKNOWN', /"backup\.explode"/],
  ['a method named like part of every object', 'constructor', {}, 'METHOD_UNKNOWN', /"constructor"/],
  ['a param of the wrong type', 'job.show', { job: 7 }, 'INVALID_ARGUMENT', /"job" of job\.show/],
  ['a param that is missing', 'backup.show', {}, 'INVALID_ARGUMENT', /"backup" of backup\.show/],
  ['a param nobody knows', 'status', { colour: 'red' }, 'INVALID_ARGUMENT', /no field "colour"/],
  ['params that are a list', 'status', [], 'INVALID_ARGUMENT', /Cannot call "status"/],
  ['params that are text', 'status', 'x', 'INVALID_ARGUMENT', /Cannot call "status"/],
  [
    'a name that leaves its folder',
    'volume.add',
    { name: '../x', source: '/x' },
    'INVALID_ARGUMENT',
    /"name"/,
  ],
  ['a limit out of range', 'job.list', { limit: 1e9 }, 'INVALID_ARGUMENT', /"limit" of job\.list/],
];

test.each(wrong)('%s is a fault and the connection stays', async (_name, method, params, code, message) => {
  const server = await testServer(isAnswered);
  const client = await RawClient.greeted(server.path);
  const answer = await client.call(1, method, params);
  expect(answer).toMatchObject({ id: 1, error: { code, message: expect.stringMatching(message) as string } });
  await othersGoOn(server.path, client);
});

test('before "hello" every method is refused, and after it all work', async () => {
  const server = await testServer(isAnswered);
  const client = new RawClient(server.path);
  expect(await show(client, 1)).toMatchObject({ id: 1, error: { code: 'PROTOCOL' } });
  const old = await client.call(2, 'hello', { client: 'x', major: protocolVersion.major + 1, minor: 0 });
  expect(old).toMatchObject({ id: 2, error: { code: 'PROTOCOL_VERSION' } });
  expect(await show(client, 3)).toMatchObject({ id: 3, error: { code: 'PROTOCOL' } });
  expect(await client.call(4, 'hello', { client: 'x', ...protocolVersion })).toMatchObject({
    id: 4,
    result: { protocol: protocolVersion },
  });
  expect(await show(client, 5)).toMatchObject({ result: job });
});

test('what a handler throws by mistake is INTERNAL for the client, and its stack stays in the log', async () => {
  const server = await testServer({
    ...isAnswered,
    status: () => Promise.reject(new TypeError('x is not a function')),
    'repository.show': () => {
      throw new TypeError('at once');
    },
  });
  const client = await RawClient.greeted(server.path);
  for (const [id, method] of [
    [1, 'status'],
    [2, 'repository.show'],
  ] as const) {
    const answer = await client.call(id, method);
    expect(answer).toMatchObject({ id, error: { code: 'INTERNAL' } });
    expect(JSON.stringify(answer)).not.toContain('.ts');
  }
  const stacks = server.log.filter((line) => line.level === 50).map((line) => line.err?.stack ?? '');
  expect(stacks).toHaveLength(2);
  expect(stacks[0]).toContain('control-hostile.test.ts');
  await othersGoOn(server.path, client);
});

test('an answer too large for a frame is a fault, and the connection stays', async () => {
  const server = await testServer({
    ...isAnswered,
    'job.list': () => Promise.resolve({ jobs: [fakeJob({ phase: 'x'.repeat(frameBytesMax) })] }),
  });
  const client = await RawClient.greeted(server.path);
  expect(await client.call(1, 'job.list')).toMatchObject({ id: 1, error: { code: 'FRAME_TOO_LARGE' } });
  await othersGoOn(server.path, client);
});

test('more requests than a client may have under way are refused, and cancel none', async () => {
  const release: (() => void)[] = [];
  const server = await testServer({
    ...isAnswered,
    'job.watch': () => new Promise((resolve) => release.push(() => resolve(job))),
  });
  const beside = await RawClient.greeted(server.path);
  const greedy = await RawClient.greeted(server.path);
  const total = requestsPerClientMax + 20;
  for (let id = 1; id <= total; id += 1) greedy.send({ id, method: 'job.watch', params: { job: job.id } });
  for (let count = 0; count < 20; count += 1) {
    expect(await greedy.next()).toMatchObject({ error: { code: 'TOO_MANY' } });
  }
  expect(release).toHaveLength(requestsPerClientMax);
  await othersGoOn(server.path, beside);
  for (const answer of release) answer();
  for (let count = 0; count < requestsPerClientMax; count += 1) {
    expect(await greedy.next()).toMatchObject({ result: job });
  }
});

test('an id that is in use already ends the connection, since nobody could tell the answers apart', async () => {
  let signal: AbortSignal | undefined;
  const server = await testServer({
    'job.watch': (_params, caller) => {
      signal = caller.signal;
      return new Promise(() => undefined);
    },
  });
  const client = await RawClient.greeted(server.path);
  client.send({ id: 1, method: 'job.watch', params: { job: job.id } });
  client.send({ id: 1, method: 'job.watch', params: { job: job.id } });
  expect(await client.ended()).toMatchObject([{ id: null, error: { code: 'PROTOCOL' } }]);
  expect(signal?.aborted).toBe(true);
});

test('a handler learns that its client has gone', async () => {
  let heard: () => void = () => undefined;
  let began: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => (heard = resolve));
  const begun = new Promise<void>((resolve) => (began = resolve));
  const server = await testServer({
    'job.watch': (_params, caller) => {
      caller.signal.addEventListener('abort', () => heard());
      began();
      return new Promise(() => undefined);
    },
  });
  const client = await RawClient.greeted(server.path);
  client.send({ id: 1, method: 'job.watch', params: { job: job.id } });
  await begun;
  client.close();
  await gone;
});

test('half a frame, or no "hello", is waited for only so long; a quiet client may stay', async () => {
  const server = await testServer(isAnswered, { stallMs: 150 });
  const quiet = await RawClient.greeted(server.path);
  const half = await RawClient.greeted(server.path);
  const mute = new RawClient(server.path);
  half.sendBytes(encodeFrame({ id: 1, method: 'status' }).subarray(0, 9));
  expect(await half.ended()).toEqual([]);
  expect(await mute.ended()).toEqual([]);
  expect(server.log.map((line) => line.msg).join('\n')).toMatch(/rest of a frame[^]*|"hello"/);
  await othersGoOn(server.path, quiet);
});

test('when all places are taken the next client is told so, and one that leaves makes room', async () => {
  const server = await testServer(isAnswered);
  const clients = await Promise.all(Array.from({ length: clientsMax }, () => RawClient.greeted(server.path)));
  const late = new RawClient(server.path);
  expect(await late.ended()).toMatchObject([{ id: null, error: { code: 'TOO_MANY' } }]);
  const [first, second] = clients;
  first?.close();
  for (;;) {
    const next = new RawClient(server.path);
    next.send({ id: 0, method: 'hello', params: { client: 'x', ...protocolVersion } });
    const answer = await next.next();
    if (answer?.result !== undefined) break;
    expect(answer).toMatchObject({ error: { code: 'TOO_MANY' } });
  }
  expect(await show(second as RawClient, 1)).toMatchObject({ result: job });
});

test('fifty clients that send noise at the same time leave the one that behaves alone', async () => {
  const server = await testServer(isAnswered);
  const beside = await RawClient.greeted(server.path);
  const noisy = await Promise.all(Array.from({ length: 50 }, () => RawClient.greeted(server.path)));
  const answers = noisy.map((client, index) => {
    client.sendBytes(frame(random(10 + index * 37)));
    return client.ended();
  });
  for (let id = 1; id <= 50; id += 1) expect(await show(beside, id)).toMatchObject({ id, result: job });
  for (const answer of await Promise.all(answers))
    expect(answer).toMatchObject([{ error: { code: 'PROTOCOL' } }]);
  await othersGoOn(server.path, beside);
});
