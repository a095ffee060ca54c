/** The client that behaves while others do not, and the one method it calls. */

import { expect } from 'vitest';
import type { Handlers } from '../../daemon/control/dispatch.ts';
import { fakeJob } from './control-server.ts';
import { type Message, RawClient } from './raw-client.ts';

export const job = fakeJob();
export const isAnswered: Partial<Handlers> = { 'job.show': () => Promise.resolve(job) };
export const show = (client: RawClient, id: number): Promise<Message | undefined> =>
  client.call(id, 'job.show', { job: job.id });

/** Asserts that a client which was there before goes on undisturbed, and that a new one finds its place. */
export async function othersGoOn(path: string, beside: RawClient): Promise<void> {
  expect(await show(beside, 900)).toMatchObject({ id: 900, result: job });
  const fresh = await RawClient.greeted(path);
  expect(await show(fresh, 901)).toMatchObject({ id: 901, result: job });
  fresh.close();
}
