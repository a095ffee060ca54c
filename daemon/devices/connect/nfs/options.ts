/** Options of a mount, from hostile text. Pure.
 *  Promises: what comes out are options of the protocol that can't make the host trust the share more, write to it against the will of
 *  the caller, wait for a dead server for longer than without them, or take for true what the server said a while ago, whatever was
 *  asked for. Source: nfs(5), mount.glusterfs(8). */

import { Fault } from '../../../base/faults.ts';

export type ShareType = 'nfs' | 'glusterfs';

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/** How server, transport and version are chosen. */
const kept: Readonly<Record<ShareType, ReadonlySet<string>>> = {
  nfs: words(
    'vers nfsvers minorversion proto tcp port mountport mountproto mountvers rsize wsize timeo retrans nconnect max_connect ' +
      'trunkdiscovery notrunkdiscovery lock nolock local_lock sec xprtsec clientaddr resvport noresvport rdirplus nordirplus',
  ),
  glusterfs: words('backup-volfile-servers backupvolfile-server server-port direct-io-mode transport'),
};
/** What is decided here, and what makes no difference to who reads one file. Caches of attributes are among the first: a file that was
 *  replaced has to be seen. */
const dropped: ReadonlySet<string> = words(
  'sharecache nosharecache soft hard softerr intr nointr bg fg retry ro rw suid nosuid dev nodev exec noexec auto noauto _netdev nofail user ' +
    'defaults async sync atime noatime diratime nodiratime relatime fsc nofsc acl noacl ' +
    'acregmin acregmax acdirmin acdirmax actimeo ac noac cto nocto lookupcache ' +
    'log-level log-file attribute-timeout entry-timeout negative-timeout',
);
const optionText = /^[A-Za-z0-9_.:/=-]{1,256}$/;

const refuse = (option: string): Fault =>
  new Fault(
    'INVALID_ARGUMENT',
    `Cannot use mount option "${option.slice(0, 64)}": it is not one of a share`,
    {
      hint: 'Leave it out: how the share is mounted beyond its transport is decided here',
    },
  );

const nameOf = (option: string): string => option.split('=')[0] ?? '';

/** "-o vers=4.1,port=2049", as Cinder hands it on, or the part behind "-o". */
export function readMountOptions(text: string, type: ShareType): string[] {
  const parts = text.split(/\s+/).filter((word) => word !== '' && word !== '-o');
  const options = parts.flatMap((word) => word.replace(/^-o/, '').split(',')).filter((one) => one !== '');
  return options.filter((option) => {
    const name = nameOf(option);
    if (!optionText.test(option) || !(kept[type].has(name) || dropped.has(name))) throw refuse(option);
    return kept[type].has(name);
  });
}

const valueOf = (options: readonly string[], name: string): string | undefined =>
  options.findLast((option) => nameOf(option) === name)?.slice(name.length + 1);

const portNames = { nfs: 'port', glusterfs: 'server-port' } as const;
const usualPorts = { nfs: 2049, glusterfs: 24_007 } as const;

export const portOption = (type: ShareType, port: number): string => `${portNames[type]}=${port}`;

/** Null where it is the usual one, however that is said. */
export function unusualPort(type: ShareType, options: readonly string[]): number | null {
  const port = Number(valueOf(options, portNames[type]) ?? 0);
  return port === 0 || port === usualPorts[type] ? null : port;
}

/** Whether locks that others hold by way of the server are not seen. */
export const locksAreLocal = (options: readonly string[]): boolean =>
  options.includes('nolock') || !['none', undefined].includes(valueOf(options, 'local_lock'));

const has = (options: readonly string[], ...names: string[]): boolean =>
  options.some((option) => names.includes(nameOf(option)));

/** Where the server is away a request is sent three times, each waiting longer than the one before, and fails after half a minute;
 *  timeo is in tenths of a second. Less may be asked for. */
const patience = { timeo: 50, retrans: 2 } as const;

function bounded(given: readonly string[], name: keyof typeof patience): string {
  const [asked, most] = [valueOf(given, name) ?? '', patience[name]];
  return `${name}=${/^\d{1,9}$/.test(asked) ? Math.min(Math.max(Number(asked), 1), most) : most}`;
}

/** The options to try, one after the other. */
export function mountAttempts(type: ShareType, given: readonly string[], readOnly: boolean): string[] {
  const access = readOnly ? 'ro' : 'rw';
  const common = [access, 'nosuid', 'nodev', 'noexec'];
  if (type === 'glusterfs') return [[...given, ...common].join(',')];
  const others = given.filter((option) => !has([option], 'timeo', 'retrans'));
  const bounds = [
    'soft',
    'retry=0',
    // What is done to this mount when its server is silent is done to no other one.
    'nosharecache',
    bounded(given, 'timeo'),
    bounded(given, 'retrans'),
  ];
  const versions = has(given, 'vers', 'nfsvers', 'minorversion') ? [] : [['vers=4.2'], ['vers=4.1']];
  return [...versions, []].map((version) => [...version, ...others, ...bounds, ...common].join(','));
}
