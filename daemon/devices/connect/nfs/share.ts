/** Mounts a share for one attachment alone, and takes it away again.
 *  Promises: a server that is dead or silent gives its readers and writers an error in set time; no symbolic link in the share is followed, no
 *  program or device of it is used; a share that this host has mounted already in such a way is used as it is, and stays mounted.
 *  `unmountShare` may be repeated. Source: mount(8), "nosymfollow". */

import { lstat, mkdir, readFile, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountedAt, unescapeOctal } from '../../../base/mount-table.ts';
import { isWithin } from '../../../base/paths.ts';
import { type StallLimits, startWatch } from '../bridge/stall-watch.ts';
import type { ConnectContext } from '../connector.ts';
import { remedyIn } from '../remedies.ts';
import type { ToolRun } from '../tools.ts';
import { attachDenied, attachFailed, deviceBusy, deviceLeft, toolMissing } from '../trouble.ts';
import { mountSource, type ShareFile } from './address.ts';
import { mountAttempts } from './options.ts';

type Context = Pick<ConnectContext, 'tools' | 'policy' | 'signal' | 'access' | 'note'>;

const unmountTimeoutMs = 10_000;
const flags = 'nosymfollow,nosuid,nodev,noexec';

/** Folders at which mounts of `source` are that do not hold readers for ever. Pure. */
export function boundedMounts(mountinfo: string, source: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [, , , root, directory] = before.split(' ');
    const [type = '', from = '', options = ''] = after.split(' ');
    const bounded = type === 'fuse.glusterfs' || (/^nfs4?$/.test(type) && /(^|,)soft(,|$)/.test(options));
    // Only where the whole share is mounted, and not a folder of it.
    if (!bounded || root !== '/' || directory === undefined || unescapeOctal(from) !== source) return [];
    return [unescapeOctal(directory)];
  });
}

function failure(what: string, run: ToolRun): Error {
  const said = run.complaint.replace(/^mount(\.\w+)?: /, '');
  return /access denied|permission denied|not permitted/i.test(run.stderr)
    ? attachDenied(what, said)
    : attachFailed(what, said, { said: run.stderr }, remedyIn(run.stderr));
}

async function mountAnew(what: string, file: ShareFile, folder: string, context: Context): Promise<void> {
  const { tools, policy, signal } = context;
  const until = performance.now() + policy.timeoutMs;
  let last: ToolRun | undefined;
  for (const options of mountAttempts(file.type, file.options, context.access === 'read')) {
    const timeoutMs = Math.max(Math.ceil(until - performance.now()), 1);
    const words = ['-t', file.type, '-o', options, mountSource(file), folder];
    last = await tools.run('mount', words, { timeoutMs, signal });
    if (last.status === 0) return;
    if (last.timedOut)
      throw attachFailed(what, `its server does not answer within ${policy.timeoutMs / 1000} s`);
    // Another version is of no use where it is not the version that is refused.
    if (/refused|timed out|no route|not known|unreachable/i.test(last.stderr)) break;
  }
  const helper = `mount.${file.type}`;
  if (last !== undefined && (await tools.find(helper)) === undefined) throw toolMissing(helper);
  if (last !== undefined) throw failure(what, last);
}

/** `folder` is made, and must have been journaled. */
export async function mountShare(
  what: string,
  file: ShareFile,
  folder: string,
  context: Context,
): Promise<void> {
  const { tools, access } = context;
  await mkdir(folder, { mode: 0o700 });
  // Those of other attachments come and go with them.
  const others = dirname(dirname(folder));
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const there = boundedMounts(table, mountSource(file)).find((directory) => !isWithin(directory, others));
  if (there === undefined) {
    context.note(`Mounting "${mountSource(file)}"`);
    await mountAnew(what, file, folder, context);
  } else {
    context.note(`Using "${mountSource(file)}", which is mounted at "${there}"`);
    const bound = await tools.run('mount', ['--no-canonicalize', '--bind', there, folder]);
    if (bound.status !== 0) throw failure(what, bound);
  }
  const words = ['-o', `remount,bind,${flags},${access === 'read' ? 'ro' : 'rw'}`, folder];
  const restricted = await tools.run('mount', ['--no-canonicalize', ...words]);
  if (restricted.status !== 0) throw failure(what, restricted);
}

const abortTries = 20;
const abortPauseMs = 500;

/** Each forced unmount ends the requests that are under way; a reader may begin others before it hears of the error. */
async function abandon(folder: string, tools: Context['tools']): Promise<void> {
  const words = ['--no-canonicalize', '--force', folder];
  for (let tries = 0; tries < abortTries && (await mountedAt(folder)) !== undefined; tries += 1) {
    await tools.run('umount', words, { timeoutMs: unmountTimeoutMs });
    await sleep(abortPauseMs);
  }
  if ((await mountedAt(folder)) !== undefined)
    await tools.run('umount', ['--lazy', ...words], { timeoutMs: unmountTimeoutMs });
}

/** From now on a silent server costs at most the time of the limits: then the share is taken away from its readers. */
export function watchShare(
  folder: string,
  path: string,
  { tools }: Pick<Context, 'tools'>,
  limits: StallLimits,
): void {
  startWatch(tools, path, () => abandon(folder, tools), limits);
}

/** DEVICE_BUSY while a file in it is open. */
export async function unmountShare(
  what: string,
  folder: string,
  { tools }: Pick<ConnectContext, 'tools'>,
): Promise<void> {
  while ((await mountedAt(folder)) !== undefined) {
    const words = ['--no-canonicalize', folder];
    const run = await tools.run('umount', words, { timeoutMs: unmountTimeoutMs });
    if (run.status === 0) continue;
    if (/busy/.test(run.stderr)) throw deviceBusy(what, ['a file in its share is open']);
    // Its server is gone, and nobody has a file open.
    const forced = await tools.run('umount', ['--force', '--lazy', ...words], {
      timeoutMs: unmountTimeoutMs,
    });
    if (forced.status !== 0) throw deviceLeft(what, [`mount "${folder}"`], forced.complaint);
  }
  const stats = await lstat(folder).catch(() => undefined);
  // Never by way of a removal of what is in it: it might be the share.
  if (stats?.isDirectory() === true) await rmdir(folder);
}
