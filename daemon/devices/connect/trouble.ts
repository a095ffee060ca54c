/** The faults of attachments, each made in one place so that they read alike whatever the protocol. Pure. */

import { Fault } from '../../base/faults.ts';
import { installing } from './remedies.ts';

/** `remedy`: the one thing that is known to mend it. */
export const attachFailed = (
  what: string,
  why: string,
  details?: Readonly<Record<string, unknown>>,
  remedy?: string,
): Fault => new Fault('ATTACH_FAILED', `Cannot attach "${what}": ${why}`, moreOf(details, remedy));

const moreOf = (details?: Readonly<Record<string, unknown>>, hint?: string) => ({
  ...(details === undefined ? {} : { details }),
  ...(hint === undefined ? {} : { hint }),
});

export const toolMissing = (program: string): Fault =>
  new Fault(
    'TOOL_MISSING',
    `Cannot run "${program}": it is not on this host`,
    moreOf({ program }, installing(program)),
  );

/** Where more is known of the remedy than that something is wrong with the storage or the way to it. */
export const attachRefused = (what: string, why: string, hint: string): Fault =>
  new Fault('ATTACH_FAILED', `Cannot attach "${what}": ${why}`, { hint });

export const attachDenied = (what: string, why: string): Fault =>
  new Fault('ATTACH_DENIED', `Cannot attach "${what}": ${why}`);

export const multipathMissing = (what: string, why: string, remedy?: string): Fault => {
  const hint =
    remedy === undefined ? undefined : `${remedy}; or set enforce_multipath to false to go on with one path`;
  return new Fault(
    'MULTIPATH_MISSING',
    `Cannot attach "${what}" over several paths: ${why}`,
    moreOf(undefined, hint),
  );
};

/** `why` and `hint` as `compareIdentity` says them. */
export const wrongDevice = (what: string, why: string, hint?: string): Fault =>
  new Fault('WRONG_DEVICE', `Refused to use "${what}": ${why}`, hint === undefined ? {} : { hint });

/** What is attached does not answer, or is not there any more. */
export const deviceFailed = (what: string, why: string): Fault =>
  new Fault('DEVICE_FAILED', `Cannot use "${what}": ${why}`);

/** `left`: what is still there, for people and machines ("session 3", "/dev/sdb"). */
export const deviceLeft = (what: string, left: readonly string[], why: string): Fault =>
  new Fault('DEVICE_LEFT', `Cannot detach "${what}" wholly: ${why}`, { details: { left } });

export const deviceBusy = (what: string, usedBy: readonly string[]): Fault =>
  new Fault('DEVICE_BUSY', `Cannot detach "${what}": it is in use: ${usedBy.join(', ')}`, {
    details: { used_by: usedBy },
  });

/** `how`: the clause that says why it can't be shared. */
export const deviceHeld = (what: string, how: string, users: readonly string[]): Fault =>
  new Fault('DEVICE_BUSY', `Cannot attach "${what}": it is attached ${how} for ${users.join(' and ')}`, {
    hint: 'Wait for the job, or detach it: basaltctl device list, basaltctl device detach',
    details: { used_by: users },
  });

export const deviceUnknown = (what: string): Fault =>
  new Fault('DEVICE_UNKNOWN', `Cannot find attachment "${what}"`);
