/** Names for a key that was pressed, from a daemon that is just too late. */

import { expect, onTestFinished, test, vi } from 'vitest';
import { namesFor } from '../../../../client/completion/names.ts';
import { type Reply, startFakeDaemon } from '../../../support/fake-daemon.ts';

test('a daemon that says hello when nobody waits any more keeps the program from nothing', async () => {
  let hello: Reply | undefined;
  const daemon = await startFakeDaemon({
    hello: (reply) => {
      hello = reply;
    },
    'volume.list': (reply) => reply.result({ volumes: [] }),
  });
  onTestFinished(() => daemon.stop());
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const names = namesFor({
    placeholder: 'VOLUME',
    typed: '',
    socketPath: daemon.socketPath,
    project: undefined,
  });
  // The way to the socket takes a moment: its own limit ends that much later.
  vi.advanceTimersByTime(5);
  await daemon.called('hello');
  vi.advanceTimersByTime(996);
  expect(await names).toEqual([]);
  hello?.result({ version: '0.1.0', protocol: { major: 1, minor: 0 } });
  await daemon.closed;
  expect(daemon.calls.map(({ method }) => method)).toEqual(['hello']);
});
