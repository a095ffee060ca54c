/** Mounts a share for one attachment alone, and takes it away again.
 *  Promises: a server that is dead or silent gives its readers and writers an error in set time; no symbolic link in the share is followed, no
 *  program or device of it is used; what this host has mounted already is not touched: not even a silent share, as to take it away from our
 *  readers would take it from all. `unmountShare` may be repeated. Source: mount(8), "nosymfollow"; mount.glusterfs(8). */

import { lstat, mkdir, readFile, rm, rmdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountedAt } from '../../../base/mount-table.ts';
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

/** The client of GlusterFS says why in its log alone. */
const glusterReasons: readonly (readonly [RegExp, string])[] = [
  [/failed to get the 'volume file'/, 'its server knows no such volume'],
  [/SETVOLUME.*(denied|authenticat)|failed to authenticate/i, 'access denied by its server'],
  [/Exhausted all volfile servers/, 'its server can not be reached'],
];

/** A log of its own, as it keeps one for each folder that anything was ever mounted on, and in it the password of the volume. */
const logOf = (folder: string): string => `${folder}.log`;

async function glusterReason(folder: string): Promise<string> {
  const log = await readFile(logOf(folder), 'utf8').catch(() => '');
  return glusterReasons.find(([pattern]) => pattern.test(log))?.[1] ?? '';
}

function failure(what: string, { complaint, stderr }: Pick<ToolRun, 'complaint' | 'stderr'>): Error {
  const said = complaint.replace(/^mount(\.\w+)?: /, '');
  return /access denied|permission denied|not permitted/i.test(stderr)
    ? attachDenied(what, said)
    : attachFailed(what, said, { said: stderr }, remedyIn(stderr));
}

async function mountAnew(what: string, file: ShareFile, folder: string, context: Context): Promise<void> {
  const { tools, policy, signal } = context;
  const log = file.type === 'glusterfs' ? `,log-file=${logOf(folder)}` : '';
  // It is a shell script, and splits what it is given.
  if (log !== '' && !/^[\w./-]+$/.test(folder))
    throw attachFailed(what, `mount.glusterfs does not take a folder like "${folder}"`);
  const until = performance.now() + policy.timeoutMs;
  let last: ToolRun | undefined;
  for (const options of mountAttempts(file.type, file.options, context.access === 'read')) {
    const timeoutMs = Math.max(Math.ceil(until - performance.now()), 1);
    const words = ['-t', file.type, '-o', options + log, mountSource(file), folder];
    last = await tools.run('mount', words, { timeoutMs, signal });
    if (last.status === 0) return;
    if (last.timedOut)
      throw attachFailed(what, `its server does not answer within ${policy.timeoutMs / 1000} s`);
    // Another version is of no use where it is not the version that is refused.
    if (/refused|timed out|no route|not known|unreachable/i.test(last.stderr)) break;
  }
  if (last === undefined) return;
  const helper = `mount.${file.type}`;
  if ((await tools.find(helper)) === undefined) throw toolMissing(helper);
  const reason = await glusterReason(folder);
  throw failure(what, reason === '' ? last : { complaint: reason, stderr: reason });
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
  context.note(`Mounting "${mountSource(file)}"`);
  await mountAnew(what, file, folder, context);
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
    // A client that gave up, or the watch, may have been there first.
    if (forced.status !== 0 && (await mountedAt(folder)) !== undefined)
      throw deviceLeft(what, [`mount "${folder}"`], forced.complaint);
  }
  const stats = await lstat(folder).catch(() => undefined);
  // Never by way of a removal of what is in it: it might be the share.
  if (stats?.isDirectory() === true) await rmdir(folder);
  await rm(logOf(folder), { force: true });
}
