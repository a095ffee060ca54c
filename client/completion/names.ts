/** Names that the daemon knows, by what the help calls them. Promises: who presses a key is not kept waiting, and never sees an error: where
 *  the daemon does not answer in time, or refuses, there are no names. Knows nothing of shells. */

import { type Connection, connect } from '../connection.ts';
import type { Candidate } from './wanted.ts';

/** A key was pressed: what comes later is not waited for. */
const limitMs = 1_000;
const namesMax = 1_000;

interface Asked {
  readonly connection: Connection;
  readonly inProject: { readonly project?: string };
}

type Source = (asked: Asked, typed: string) => Promise<readonly Candidate[]>;

interface Named {
  readonly id: string;
  readonly name: string | null;
}

/** Names that mean one thing; ids where there is no such name, and where somebody has begun to type one. */
function namesOf<T extends Named>(all: readonly T[], typed: string, about: (one: T) => string): Candidate[] {
  const count = new Map<string, number>();
  for (const { name } of all) if (name !== null) count.set(name, (count.get(name) ?? 0) + 1);
  return all.flatMap((one) => {
    const { id, name } = one;
    const named = name !== null && count.get(name) === 1 ? [{ word: name, about: about(one) }] : [];
    const byId = named.length === 0 || (typed !== '' && id.startsWith(typed));
    return byId ? [...named, { word: id, about: `${name ?? ''} ${about(one)}`.trim() }] : named;
  });
}

const volumes: Source = async ({ connection, inProject }, typed) => {
  const found = await connection.call('volume.list', { ...inProject });
  return namesOf(found.volumes, typed, ({ source }) => source);
};

const backups: Source = async ({ connection, inProject }, typed) => {
  const found = await connection.call('backup.list', { limit: namesMax, ...inProject });
  const about = ({ volume_name, status, created_at }: (typeof found.backups)[number]) =>
    `${volume_name}, ${status}, ${created_at}`;
  return namesOf(found.backups, typed, about);
};

const snapshots: Source = async ({ connection, inProject }, typed) => {
  const found = await connection.call('snapshot.list', { ...inProject });
  return namesOf(found.snapshots, typed, ({ status, created_at }) => `${status}, ${created_at}`);
};

const repositories: Source = async ({ connection }) => {
  const found = await connection.call('repository.list', {});
  return found.repositories.map(({ name, url }) => ({ word: name, about: url }));
};

const jobs: Source = async ({ connection, inProject }) => {
  const found = await connection.call('job.list', { limit: 50, ...inProject });
  return found.jobs.map(({ id, kind, status, created_at }) => ({
    word: id,
    about: `${kind}, ${status}, ${created_at}`,
  }));
};

const devices: Source = async ({ connection }) => {
  const found = await connection.call('device.list', {});
  return found.devices.map(({ id, url, status }) => ({ word: id, about: `${url}, ${status}` }));
};

const sources: Readonly<Record<string, Source>> = {
  VOLUME: volumes,
  LOCATION: volumes,
  TARGET: volumes,
  BACKUP: backups,
  A: backups,
  B: backups,
  SNAPSHOT: snapshots,
  REPOSITORY: repositories,
  JOB: jobs,
  DEVICE: devices,
};

/** The names that the help gives to what is asked for. */
export const namesOfHelp: readonly string[] = Object.keys(sources);

/** What the help calls by these names may be a file of this host. */
const ofFiles: readonly string[] = ['FILE', 'DIR', 'SOCKET', 'SOURCE', 'LOCATION', 'TARGET', 'URL'];
export const isFile = (placeholder: string | undefined): boolean =>
  placeholder !== undefined && ofFiles.includes(placeholder);

export interface NamesOrder {
  readonly placeholder: string | undefined;
  readonly typed: string;
  readonly socketPath: string;
  readonly project: string | undefined;
}

export async function namesFor(order: NamesOrder): Promise<readonly Candidate[]> {
  const source = sources[order.placeholder ?? ''];
  if (source === undefined) return [];
  const inProject = order.project === undefined ? {} : { project: order.project };
  let connection: Connection | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const late = new Promise<readonly Candidate[]>((resolve) => {
    timer = setTimeout(() => resolve([]), limitMs);
  });
  const asked = async () => {
    connection = await connect(order.socketPath, limitMs);
    if (!isOver) return source({ connection, inProject }, order.typed);
    // Nobody else is there any more to close what came that late.
    connection.close();
    return [];
  };
  try {
    return await Promise.race([asked().catch(() => []), late]);
  } finally {
    isOver = true;
    clearTimeout(timer);
    connection?.close();
  }
}
