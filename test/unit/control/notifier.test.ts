import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { createNotifier, type NotifierParts } from '../../../daemon/control/notifier.ts';
import { native } from '../../../native/native.ts';

/** Node has no datagram sockets of this family, so Python stands in for systemd: a line for each datagram. */
const receiver = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    print(json.dumps(s.recv(65536).decode()), flush=True)
`;

interface Receiver {
  readonly path: string;
  next(): Promise<string>;
}

async function receive(): Promise<Receiver> {
  const folder = await mkdtemp(join(tmpdir(), 'basalt-notify-'));
  const path = join(folder, 'notify');
  const child: ChildProcess = spawn('python3', ['-c', receiver, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    child.kill();
    await once(child, 'exit');
    await rm(folder, { recursive: true });
  });
  if (child.stdout === null) throw new Error('no output of the receiver');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  await lines.next();
  return { path, next: async () => JSON.parse(String((await lines.next()).value)) as string };
}

const parts = (environment: NotifierParts['environment'], isAlive = () => true): NotifierParts => ({
  native,
  environment,
  isAlive,
  log: pino({ level: 'silent' }),
});

test('each word to systemd is one datagram of its own', async () => {
  const systemd = await receive();
  const notifier = createNotifier(parts({ NOTIFY_SOCKET: systemd.path }));
  notifier.extend(1500);
  notifier.status('starting\nup');
  notifier.ready();
  notifier.stopping();
  notifier.close();
  expect(await systemd.next()).toBe('EXTEND_TIMEOUT_USEC=1500000');
  expect(await systemd.next()).toBe('STATUS=starting up');
  expect(await systemd.next()).toBe('READY=1');
  expect(await systemd.next()).toBe('STOPPING=1');
});

test('the watchdog is fed from readiness on, while there is progress and not without', async () => {
  const systemd = await receive();
  let alive = true;
  let asked: () => void = () => undefined;
  const environment = {
    NOTIFY_SOCKET: systemd.path,
    WATCHDOG_USEC: '20000',
    WATCHDOG_PID: String(process.pid),
  };
  const notifier = createNotifier(
    parts(environment, () => {
      asked();
      return alive;
    }),
  );
  onTestFinished(() => notifier.close());
  notifier.ready();
  expect(await systemd.next()).toBe('READY=1');
  expect(await systemd.next()).toBe('WATCHDOG=1');
  expect(await systemd.next()).toBe('WATCHDOG=1');
  alive = false;
  for (let round = 0; round < 3; round += 1) await new Promise<void>((resolve) => (asked = resolve));
  asked = () => undefined;
  notifier.status('stuck');
  // What was sent while alive may still lie in the socket; nothing was sent in the three rounds since.
  let fed = 0;
  for (let word = await systemd.next(); word !== 'STATUS=stuck'; word = await systemd.next()) fed += 1;
  notifier.status('end');
  expect(await systemd.next()).toBe('STATUS=end');
  expect(fed).toBeLessThan(3);
  alive = true;
  expect(await systemd.next()).toBe('WATCHDOG=1');
});

test('a watchdog meant for another process is not fed', async () => {
  const systemd = await receive();
  const asked: number[] = [];
  const environment = { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: '2000', WATCHDOG_PID: '1' };
  const notifier = createNotifier(parts(environment, () => asked.push(1) > 0));
  onTestFinished(() => notifier.close());
  notifier.ready();
  expect(await systemd.next()).toBe('READY=1');
  // Timers of the same length fire in the order they were made: a feeding would have come before the second of these.
  for (let round = 0; round < 5; round += 1) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(asked).toEqual([]);
});

test('without NOTIFY_SOCKET nothing is sent, and a socket that is gone stops nobody', () => {
  const sent: string[] = [];
  const recording = { native: { notify: (_path: string, message: string) => void sent.push(message) } };
  const silent = createNotifier({ ...parts({ WATCHDOG_USEC: '20000' }), ...recording });
  silent.ready();
  silent.stopping();
  silent.close();
  expect(sent).toEqual([]);
  const lost = createNotifier(parts({ NOTIFY_SOCKET: '/nonexistent/notify' }));
  expect(() => lost.ready()).not.toThrow();
  lost.close();
});
