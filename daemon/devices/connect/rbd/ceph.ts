/** Asks a Ceph cluster about an image, and makes and removes snapshots of it, by the programs "rbd" and "ceph".
 *  Promises: every question has a time limit; the key of the user is in a file that only root reads, never among the words of a
 *  program. Source: rbd(8), ceph.conf(5). */

import { rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import { writeFileAtomic } from '../../../base/files.ts';
import { volumeBytesMax } from '../../../base/limits.ts';
import { readText } from '../../block-names.ts';
import type { ConnectContext } from '../connector.ts';
import { remedyIn } from '../remedies.ts';
import type { ToolRun } from '../tools.ts';
import { attachDenied, attachFailed, attachRefused } from '../trouble.ts';
import { adminUser, confOf, type RbdImage } from './address.ts';

export interface ImageFacts {
  readonly id: string;
  readonly sizeBytes: number;
}

export interface Ceph {
  /** What programs are told to read. */
  readonly conf: string;
  info(snapshot: string | null): Promise<ImageFacts>;
  /** "FSID/POOLID". */
  pool(): Promise<string>;
  /** Who has the image open: addresses of clients. */
  watchers(): Promise<readonly string[]>;
  /** Resolves with why it could not be made; ATTACH_DENIED where the user may not. */
  createSnapshot(snapshot: string): Promise<Fault | undefined>;
  /** One that is not there is fine. */
  removeSnapshot(snapshot: string): Promise<string | undefined>;
}

const askTimeoutMs = 20_000;
/** In seconds: of the programs themselves, so that they end by themselves. */
const waits = ['--client-mount-timeout=10', '--rados-mon-op-timeout=10', '--rados-osd-op-timeout=15'];
const confName = 'ceph.conf';
const keyringName = 'keyring';

const usualKeyring = ({ user }: Pick<RbdImage, 'user'>, cluster: string): string =>
  `/etc/ceph/${cluster}.client.${user ?? adminUser}.keyring`;

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The keyring that would be used, where there is none; undefined also where the settings name another one, or want none. */
async function missingKeyring(image: RbdImage): Promise<string | undefined> {
  if (image.key !== null) return undefined;
  if (image.mons.length > 0) {
    const only = usualKeyring(image, image.cluster);
    return (await isThere(only)) ? undefined : only;
  }
  const conf = confOf(image);
  const settings = await readText(conf);
  if (
    settings === undefined ||
    /^\s*(key(ring|file)?\s*=|auth[ _]client[ _]required\s*=\s*none)/m.test(settings)
  )
    return undefined;
  const cluster = basename(conf, '.conf');
  const usual = usualKeyring(image, cluster);
  const others = [`${cluster}.keyring`, 'keyring', 'keyring.bin'].map((name) => `/etc/ceph/${name}`);
  const found = await Promise.all([usual, ...others].map(isThere));
  return found.includes(true) ? undefined : usual;
}

/** What has no settings of its own on this host gets some, in the folder of the attachment. Pure. */
export function confText(image: RbdImage, keyring: string): string {
  const lies = image.key === null ? usualKeyring(image, image.cluster) : keyring;
  const lines = [
    `mon_host = ${image.mons.join(',')}`,
    `keyring = ${lies}`,
    // A cluster that is away is an error, not a wait without end.
    'client_mount_timeout = 10',
    'rados_mon_op_timeout = 10',
    'rados_osd_op_timeout = 30',
    'log_to_stderr = false',
  ];
  return `[global]\n${lines.join('\n')}\n`;
}

async function writeConf(image: RbdImage, folder: string): Promise<string> {
  if (image.mons.length === 0) return confOf(image);
  const [conf, keyring] = [join(folder, confName), join(folder, keyringName)];
  if (image.key !== null) {
    const text = `[client.${image.user ?? adminUser}]\n\tkey = ${image.key}\n`;
    await writeFileAtomic(keyring, text, 0o600);
  }
  // Whole at each moment: a program of an earlier question may be reading it.
  await writeFileAtomic(conf, confText(image, keyring), 0o600);
  return conf;
}

/** Removes what `openCeph` has written. */
export async function forgetCeph(folder: string): Promise<void> {
  for (const name of [confName, keyringName]) await rm(join(folder, name), { force: true });
}

const infoShape = z.object({
  id: z.string().min(1).max(64),
  size: z.number().int().min(0).max(volumeBytesMax),
});
const poolsShape = z.array(z.object({ poolnum: z.number().int(), poolname: z.string() }));
const snapshotsShape = z.array(z.object({ name: z.string() }));
const isOther =
  (snapshot: string) =>
  ({ name }: { readonly name: string }): boolean =>
    name !== snapshot;
const statusShape = z.object({ watchers: z.array(z.object({ address: z.string() })).optional() });

function read<T>(what: string, shape: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw attachFailed(what, 'the cluster says something that can not be read');
}

/** Exit statuses of rbd are the numbers of errors. */
const [noEntry, notPermitted, accessDenied] = [2, 1, 13];

async function failure(what: string, image: RbdImage, run: ToolRun): Promise<Fault> {
  const said = run.complaint.replace(/^rbd: /, '');
  const silent = run.timedOut || run.status === 110 || /timed out/i.test(run.stderr);
  // A cluster says nothing to who has no key.
  const keyring = silent || /keyring/i.test(run.stderr) ? await missingKeyring(image) : undefined;
  if (keyring !== undefined) {
    const user = `client.${image.user ?? adminUser}`;
    const hint = `Write the key of ${user} there ("ceph auth get ${user}" tells it), or name another user: ?id=USER`;
    return attachRefused(what, `the cluster does not answer, and there is no keyring "${keyring}"`, hint);
  }
  if (silent) return attachFailed(what, 'the cluster does not answer');
  if (run.status === noEntry) return attachFailed(what, 'there is no such image, pool or snapshot', { said });
  const denied = run.status === accessDenied || /permission denied|not permitted|EACCES/i.test(run.stderr);
  if (denied || (run.status === notPermitted && /auth|keyring/i.test(run.stderr)))
    return attachDenied(what, `the cluster refuses the user: ${said}`);
  return attachFailed(what, said, undefined, remedyIn(said));
}

type Context = Pick<ConnectContext, 'tools' | 'signal' | 'folder'>;

export async function openCeph(
  what: string,
  image: RbdImage,
  { tools, signal, folder }: Context,
): Promise<Ceph> {
  const conf = await writeConf(image, folder);
  const user = image.user === null ? [] : [`--id=${image.user}`];
  const named = [
    `--pool=${image.pool}`,
    ...(image.namespace === null ? [] : [`--namespace=${image.namespace}`]),
    `--image=${image.image}`,
  ];
  const limits = { timeoutMs: askTimeoutMs, signal };
  const rbd = (...words: string[]) =>
    tools.run('rbd', [...words, ...named, `--conf=${conf}`, ...user, ...waits], limits);
  const answered = async (run: Promise<ToolRun>): Promise<string> => {
    const ended = await run;
    if (ended.status !== 0) throw await failure(what, image, ended);
    return ended.stdout;
  };
  const ceph = (...words: string[]) =>
    answered(
      tools.run(
        'ceph',
        [`--conf=${conf}`, ...user, '--connect-timeout=10', '--format=json', ...words],
        limits,
      ),
    );
  const withSnapshot = (snapshot: string | null) => (snapshot === null ? [] : [`--snap=${snapshot}`]);
  return {
    conf,
    info: async (snapshot) => {
      const text = await answered(rbd('info', '--format=json', ...withSnapshot(snapshot)));
      const { id, size } = read(what, infoShape, text);
      return { id, sizeBytes: size };
    },
    pool: async () => {
      const { fsid } = read(what, z.object({ fsid: z.string() }), await ceph('fsid'));
      const pools = read(what, poolsShape, await ceph('osd', 'lspools'));
      const found = pools.find(({ poolname }) => poolname === image.pool);
      if (found === undefined) throw attachFailed(what, `there is no pool "${image.pool}"`);
      return `${fsid}/${found.poolnum}`;
    },
    watchers: async () => {
      const status = read(what, statusShape, await answered(rbd('status', '--format=json')));
      return (status.watchers ?? []).map(({ address }) => address);
    },
    createSnapshot: async (snapshot) => {
      const run = await rbd('snap', 'create', '--no-progress', `--snap=${snapshot}`);
      return run.status === 0 ? undefined : failure(what, image, run);
    },
    removeSnapshot: async (snapshot) => {
      const run = await rbd('snap', 'rm', '--no-progress', `--snap=${snapshot}`);
      if (run.status === 0 || run.status === noEntry) return undefined;
      // Who may not remove one could not make it, and may see that it is not there.
      const seen = await rbd('snap', 'ls', '--format=json');
      const isGone = seen.status === 0 && read(what, snapshotsShape, seen.stdout).every(isOther(snapshot));
      return isGone ? undefined : (await failure(what, image, run)).message;
    },
  };
}
