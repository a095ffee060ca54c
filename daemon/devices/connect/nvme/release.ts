/** Lets a namespace go: disconnects what this attachment has connected, as far as nobody else needs it.
 *  Promises: nothing is taken from under a program, a mount or what stands on the disk; a controller goes only if it has our mark and
 *  everything that it shows is this namespace, or was there when it was new and is used by nobody; a detach resolves when the
 *  controllers and their disks were seen to be gone. What stays for another attachment is that one's to take away. */

import { join } from 'node:path';
import { namesIn, readText } from '../../block-names.ts';
import type { ConnectContext } from '../connector.ts';
import { clearHolders, holdersOn, usersOf } from '../scsi/holders.ts';
import { type Scene, until } from '../scsi/scene.ts';
import { deviceBusy, deviceLeft } from '../trouble.ts';
import { formatEndpoint } from '../url-parts.ts';
import { formatNvmeUrl, type NvmeNamespace } from './address.ts';
import { type Made, type NvmeBuilt, saved, sharedEntry } from './built.ts';
import { type Controller, controllers, isAt, isNamespace, type Namespace } from './controllers.ts';

const disconnectTimeoutMs = 70_000;
const goneTimeoutMs = 10_000;
/** Programs that look at a disk for a moment are waited for. */
const usersLimitMs = 5_000;

interface Going {
  readonly made: Made;
  readonly controller: Controller;
}

interface Parts {
  readonly scene: Scene;
  readonly wanted: NvmeNamespace;
  readonly built: NvmeBuilt;
}

const folderOf = ({ folders }: ConnectContext, disk: string): string => join(folders.sys, 'block', disk);

/** By its names, or under its number, where another one may have taken its place. */
const isOwn = ({ wanted, built }: Parts, one: Namespace): boolean =>
  isNamespace(wanted, one) || one.nsid === built.nsid;

/** Disks that will be gone with these controllers. */
function disksOf(going: readonly Going[], all: readonly Controller[]): string[] {
  const names = new Set(going.map(({ controller }) => controller.name));
  const staying = all.filter(({ name }) => !names.has(name));
  const kept = new Set(staying.flatMap(({ namespaces }) => namespaces.map(({ disk }) => disk)));
  const gone = going.flatMap(({ controller }) => controller.namespaces.map(({ disk }) => disk));
  return [...new Set(gone)].filter((disk) => !kept.has(disk));
}

async function usersOn({ scene }: Parts, disk: string): Promise<string[]> {
  const folder = folderOf(scene.context, disk);
  const holders = await holdersOn(scene, folder);
  return [...holders.map(({ node }) => `/dev/${node}`), ...(await usersOf(scene, folder))];
}

/** Tells why a controller has to stay; undefined: it may go. Each disk is looked at once. */
function neededFor(parts: Parts): (one: Going) => Promise<string | undefined> {
  const { scene, wanted } = parts;
  const known = new Map<string, Promise<string[]>>();
  const usersOfDisk = (disk: string): Promise<string[]> => {
    const users = known.get(disk) ?? usersOn(parts, disk);
    known.set(disk, users);
    return users;
  };
  return async ({ made, controller }) => {
    if (sharedEntry(scene.context.others('nvme'), wanted.nqn, made) !== undefined)
      return 'another attachment uses it';
    for (const { nsid, disk } of controller.namespaces.filter((one) => !isOwn(parts, one))) {
      const { beside } = made;
      if (beside === 'none' || (beside !== 'any' && !beside.includes(nsid)))
        return `it shows namespace ${nsid}, too`;
      const used = await usersOfDisk(disk);
      if (used.length > 0) return `its namespace ${nsid} is in use: ${used.join(', ')}`;
    }
    return undefined;
  };
}

/** DEVICE_BUSY where somebody is on a disk that would go. */
async function requireUnused({ scene, wanted }: Parts, disk: string): Promise<void> {
  const folder = folderOf(scene.context, disk);
  let used: string[] = [];
  const unused = async () => {
    used = [...(await clearHolders(scene, folder)), ...(await usersOf(scene, folder))];
    return used.length === 0 ? true : undefined;
  };
  if ((await until(scene, unused, { limitMs: usersLimitMs, everyMs: 500 })) !== true)
    throw deviceBusy(formatNvmeUrl(wanted), used);
}

/** What is left of it: nothing, or its name. */
async function disconnect({ scene }: Parts, { controller }: Going): Promise<string[]> {
  const { tools, folders } = scene.context;
  const words = ['disconnect', `--device=${controller.name}`];
  const run = await tools.run('nvme', words, { timeoutMs: disconnectTimeoutMs });
  const { name, nqn } = controller;
  const gone = async () => {
    const now = await controllers(folders.sys);
    return now.some((one) => one.name === name && isAt(nqn, controller.hostNqn, controller)(one))
      ? undefined
      : true;
  };
  if ((await until(scene, gone, { limitMs: goneTimeoutMs })) === true) return [];
  return [`controller "${controller.name}" (${run.status === 0 ? controller.state : run.complaint})`];
}

/** Within the turn of the subsystem. */
export async function release(parts: Parts): Promise<void> {
  const { scene, wanted, built } = parts;
  const { context } = scene;
  const all = await controllers(context.folders.sys);
  const there = built.made.flatMap((made) =>
    all
      .filter((one) => one.isOurs && isAt(wanted.nqn, built.hostNqn, made)(one))
      .map((controller) => ({ made, controller })),
  );
  const going: Going[] = [];
  const needed = neededFor(parts);
  for (const one of there) {
    const why = await needed(one);
    if (why === undefined) going.push(one);
    else context.note(`Leaving the controller at ${formatEndpoint(one.made)}: ${why}`);
  }
  const disks = disksOf(going, all);
  const own = there.flatMap(({ controller }) => controller.namespaces.filter((one) => isOwn(parts, one)));
  for (const disk of disks.filter((name) => own.some((one) => one.disk === name))) {
    await requireUnused(parts, disk);
    // What its paths do not take any more is lost with them, whoever waits for it.
    await context.probe.flush(join(context.folders.dev, disk)).catch(() => undefined);
  }
  const sequences = new Map(
    await Promise.all(disks.map(async (disk) => [disk, await sequenceOf(parts, disk)] as const)),
  );
  const tied = (await Promise.all(going.map((one) => disconnect(parts, one)))).flat();
  const left = [...tied, ...(await stillThere(parts, sequences))];
  if (left.length > 0) throw deviceLeft(formatNvmeUrl(wanted), left, `there is still ${left.join(', ')}`);
  // Whoever shares a controller has to see at his own end that nobody else does.
  if (going.length < there.length)
    await context.journal(saved({ ...built, made: [] })).catch(() => undefined);
}

/** A number that no other disk gets until the host starts again. */
const sequenceOf = ({ scene: { context } }: Parts, disk: string): Promise<string | undefined> =>
  readText(join(folderOf(context, disk), 'diskseq'));

/** Those of them that are not gone after a while; their names may be used again at once. */
async function stillThere(parts: Parts, disks: ReadonlyMap<string, string | undefined>): Promise<string[]> {
  const { context } = parts.scene;
  let left: string[] = [];
  const gone = async () => {
    const there = new Set(await namesIn(join(context.folders.sys, 'block')));
    const now = [...disks.keys()].filter((disk) => there.has(disk));
    const same = await Promise.all(
      now.map(async (disk) => (await sequenceOf(parts, disk)) === disks.get(disk)),
    );
    left = now.filter((_, at) => same[at] === true);
    return left.length === 0 ? true : undefined;
  };
  await until(parts.scene, gone, { limitMs: goneTimeoutMs });
  return left.map((disk) => join(context.folders.dev, disk));
}
