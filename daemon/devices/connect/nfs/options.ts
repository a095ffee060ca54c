/** Options of a mount, from hostile text. Pure.
 *  Promises: what comes out are options of the protocol that can't make the host trust the share more, write to it against the will of
 *  the caller, or wait for a dead server for ever, whatever was asked for. Source: nfs(5). */

import { Fault } from '../../../base/faults.ts';

/** How transport, version and caches are chosen. */
const kept: ReadonlySet<string> = new Set(
  (
    'vers nfsvers minorversion proto tcp port mountport mountproto mountvers rsize wsize timeo retrans nconnect ' +
    'acregmin acregmax acdirmin acdirmax actimeo ac noac lookupcache lock nolock local_lock sec clientaddr ' +
    'resvport noresvport rdirplus nordirplus cto nocto ' +
    'backup-volfile-servers backupvolfile-server volume-server-port direct-io-mode log-level transport'
  ).split(' '),
);
/** What is decided here, and what makes no difference to who reads one file. */
const dropped: ReadonlySet<string> = new Set(
  (
    'sharecache nosharecache soft hard softerr intr nointr bg fg retry ro rw suid nosuid dev nodev exec noexec auto noauto _netdev nofail user ' +
    'defaults async sync atime noatime diratime nodiratime relatime fsc nofsc'
  ).split(' '),
);
const optionText = /^[A-Za-z0-9_.:/=-]{1,256}$/;

const refuse = (option: string): Fault =>
  new Fault(
    'INVALID_ARGUMENT',
    `Cannot use mount option "${option.slice(0, 64)}": it is not one of a share`,
    {
      hint: 'Leave it out: how the share is mounted beyond its transport and caches is decided here',
    },
  );

/** "-o vers=4.1,port=2049", as Cinder hands it on, or the part behind "-o". */
export function readMountOptions(text: string): string[] {
  const words = text.split(/\s+/).filter((word) => word !== '' && word !== '-o');
  const options = words.flatMap((word) => word.replace(/^-o/, '').split(',')).filter((one) => one !== '');
  return options.filter((option) => {
    const [name = ''] = option.split('=');
    if (!optionText.test(option) || !(kept.has(name) || dropped.has(name))) throw refuse(option);
    return kept.has(name);
  });
}

export type ShareType = 'nfs' | 'glusterfs';

const has = (options: readonly string[], ...names: string[]): boolean =>
  options.some((option) => names.includes(option.split('=')[0] ?? ''));

/** Where the server is away a request is sent three times, each waiting longer than the one before, and fails after half a minute;
 *  timeo is in tenths of a second. */
const bounded = { timeo: 'timeo=50', retrans: 'retrans=2' } as const;

/** The options to try, one after the other. */
export function mountAttempts(type: ShareType, given: readonly string[], readOnly: boolean): string[] {
  const access = readOnly ? 'ro' : 'rw';
  const common = [access, 'nosuid', 'nodev', 'noexec'];
  if (type === 'glusterfs') return [[...given, ...common].join(',')];
  const bounds = [
    'soft',
    'retry=0',
    // What is done to this mount when its server is silent is done to no other one.
    'nosharecache',
    ...(has(given, 'timeo') ? [] : [bounded.timeo]),
    ...(has(given, 'retrans') ? [] : [bounded.retrans]),
  ];
  const versions = has(given, 'vers', 'nfsvers', 'minorversion') ? [] : [['vers=4.2'], ['vers=4.1']];
  return [...versions, []].map((version) => [...version, ...given, ...bounds, ...common].join(','));
}
