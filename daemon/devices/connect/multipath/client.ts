/** multipathd and multipath, asked and told by their own programs.
 *  Promises: no shell; each call is short, as the daemon may be busy or gone; an answer of "fail" or "timeout" is a failure although
 *  the program ends with 0. Only maps and paths that are named are touched: never `reconfigure`, which makes all maps anew.
 *  Source: multipath-tools 0.9.4, multipathd/cli.c, libmultipath/print.c. */

import { join } from 'node:path';
import { Fault } from '../../../base/faults.ts';
import { readText } from '../../block-names.ts';
import type { ConnectContext } from '../connector.ts';
import { installing, starting } from '../remedies.ts';

/** What multipathd knows of a path. */
export interface KnownPath {
  /** "sdb" */
  readonly name: string;
  /** Empty before it was asked for. */
  readonly wwid: string;
  /** "active", "failed", "undef" */
  readonly mapState: string;
  /** "ready", "faulty", "ghost", "shaky" */
  readonly checked: string;
  /** Name of the map; "[orphan]": in none. */
  readonly map: string;
}

type Host = Pick<ConnectContext, 'tools' | 'folders'>;

const callMs = 15_000;

async function ask({ tools }: Host, ...words: string[]): Promise<{ ok: boolean; text: string }> {
  if ((await tools.find('multipathd')) === undefined) return { ok: false, text: 'there is no multipathd' };
  const ended = await tools.run('multipathd', words, { timeoutMs: callMs });
  const { status, stdout, stderr, timedOut } = ended;
  // Where no daemon runs it ends without a word; how it was called is nobody's business then.
  const silent = !timedOut && `${stdout}${stderr}`.trim() === '';
  const complaint = silent ? '' : ended.complaint;
  const bad = /^(fail|timeout|error|blacklisted)/im.test(stdout) || /error receiving packet/i.test(stdout);
  return { ok: status === 0 && !bad, text: status === 0 ? stdout : complaint };
}

export interface NoMultipath {
  readonly why: string;
  readonly remedy: string | undefined;
}

/** Why several paths can't be used on this host; undefined where they can. Versions are looked at when the daemon starts. */
export async function whyNot(host: Host): Promise<NoMultipath | undefined> {
  if ((await host.tools.find('multipathd')) === undefined)
    return { why: 'multipath-tools is not installed', remedy: installing('multipathd') };
  const { ok, text } = await ask(host, 'show', 'status');
  if (ok) return undefined;
  return {
    why: `multipathd does not run: ${text.trim() || 'no answer'}`,
    remedy: starting('multipathd'),
  };
}

/** Lines of "%d|%w|%t|%T|%m". */
export function readPaths(text: string): KnownPath[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split('|').map((field) => field.trim());
    const [name, wwid, mapState, checked, map] = fields;
    if (name === undefined || fields.length !== 5) return [];
    return [{ name, wwid: wwid ?? '', mapState: mapState ?? '', checked: checked ?? '', map: map ?? '' }];
  });
}

export async function knownPaths(host: Host): Promise<KnownPath[]> {
  const { ok, text } = await ask(host, 'show', 'paths', 'raw', 'format', '%d|%w|%t|%T|%m');
  return ok ? readPaths(text) : [];
}

/** Whether multipath will take the disk by itself. It says so before it has done it. */
export async function claims({ tools }: Host, name: string): Promise<boolean> {
  if ((await tools.find('multipath')) === undefined) return false;
  return (await tools.run('multipath', ['-u', name], { timeoutMs: callMs })).status === 0;
}

/** Undefined where it did; else what multipathd said. */
type Answer = Promise<string | undefined>;
const answer = async (asked: ReturnType<typeof ask>): Answer => {
  const { ok, text } = await asked;
  return ok ? undefined : text.trim() || 'it refused';
};

export const addPath = (host: Host, name: string): Answer => answer(ask(host, 'add', 'path', name));
export const removePath = (host: Host, name: string): Answer => answer(ask(host, 'del', 'path', name));
export const removeMap = (host: Host, name: string): Answer => answer(ask(host, 'del', 'map', name));
export const resizeMap = (host: Host, name: string): Answer => answer(ask(host, 'resize', 'map', name));
/** From now on reads and writes fail at once when the last path is gone, in place of waiting for its return. */
export const failWithoutPaths = (host: Host, name: string): Answer =>
  answer(ask(host, 'disablequeueing', 'map', name));
/** As the settings of multipath say. */
export const queueAsSet = (host: Host, name: string): Answer =>
  answer(ask(host, 'restorequeueing', 'map', name));

/** Those of which one path alone becomes a map. multipathd adds what it has made a map of. */
export async function knownWwids({ folders }: Host): Promise<string[]> {
  const text = (await readText(join(folders.etc, 'multipath/wwids'))) ?? '';
  return text.split('\n').flatMap((line) => /^\/(.+)\/$/.exec(line)?.[1] ?? []);
}

/** Lets one path alone of this WWID become a map. */
export async function rememberWwid({ tools }: Host, wwid: string): Promise<void> {
  await tools.output('multipath', ['-a', wwid], { timeoutMs: callMs });
}

export async function forgetWwid(host: Host, wwid: string): Promise<void> {
  if (!(await knownWwids(host)).includes(wwid)) return;
  await host.tools.output('multipath', ['-w', wwid], { timeoutMs: callMs });
}

/** Writes back and takes down a map that nobody uses; undefined where it did. */
export async function flushMap({ tools }: Host, name: string): Answer {
  const { status, complaint } = await tools.run('multipath', ['-f', name], { timeoutMs: 60_000 });
  return status === 0 ? undefined : complaint;
}

/** WWIDs are words for programs: none that could be taken for something else. */
export function checkWwid(wwid: string): string {
  if (/^[0-9A-Za-z][!-~]{0,127}$/.test(wwid) && !wwid.includes('/')) return wwid;
  throw new Fault('DEVICE_FAILED', `Cannot use "${wwid}" as a WWID: multipathd gave one that is none`);
}
