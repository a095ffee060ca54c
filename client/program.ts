/** The tree of commands: `client/commands/<noun>/<verb>.ts` is what is typed as `basaltctl noun verb`.
 *  Promises: global options are understood before and after the words; nothing here needs a daemon. */

import { Command, Option } from 'commander';
import { productVersion } from '../daemon/protocol/version.ts';
import { addBackupCopy } from './commands/backup/copy.ts';
import { addBackupCreate } from './commands/backup/create.ts';
import { addBackupDelete } from './commands/backup/delete.ts';
import { addBackupDiff } from './commands/backup/diff.ts';
import { addBackupList } from './commands/backup/list.ts';
import { addBackupRecordExport } from './commands/backup/record/export.ts';
import { addBackupRecordImport } from './commands/backup/record/import.ts';
import { addBackupRestore } from './commands/backup/restore.ts';
import { addBackupSet } from './commands/backup/set.ts';
import { addBackupShow } from './commands/backup/show.ts';
import { addBackupUnset } from './commands/backup/unset.ts';
import { addBackupVerify } from './commands/backup/verify.ts';
import { addCatalogRebuild } from './commands/catalog/rebuild.ts';
import { addCompletion } from './commands/completion.ts';
import { addConfigCheck } from './commands/config/check.ts';
import { addConfigShow } from './commands/config/show.ts';
import { addDeviceAttach } from './commands/device/attach.ts';
import { addDeviceConnector } from './commands/device/connector.ts';
import { addDeviceDetach } from './commands/device/detach.ts';
import { addDeviceList } from './commands/device/list.ts';
import { addDeviceRescan } from './commands/device/rescan.ts';
import { addDeviceShow } from './commands/device/show.ts';
import { addEvents } from './commands/events.ts';
import { addFileDiff } from './commands/file/diff.ts';
import { addFileFind } from './commands/file/find.ts';
import { addFileGet } from './commands/file/get.ts';
import { addFileHistory } from './commands/file/history.ts';
import { addFileList } from './commands/file/list.ts';
import { addFileShow } from './commands/file/show.ts';
import { addJobCancel } from './commands/job/cancel.ts';
import { addJobLimit } from './commands/job/limit.ts';
import { addJobList } from './commands/job/list.ts';
import { addJobShow } from './commands/job/show.ts';
import { addJobWatch } from './commands/job/watch.ts';
import { addLimitSet } from './commands/limit/set.ts';
import { addLimitShow } from './commands/limit/show.ts';
import { addMount } from './commands/mount.ts';
import { addQuotaSet } from './commands/quota/set.ts';
import { addQuotaShow } from './commands/quota/show.ts';
import { addQuotaUsage } from './commands/quota/usage.ts';
import { addRepositoryAdd } from './commands/repository/add.ts';
import { addRepositoryAudit } from './commands/repository/audit.ts';
import { addRepositoryCheck } from './commands/repository/check.ts';
import { addRepositoryInit } from './commands/repository/init.ts';
import { addRepositoryList } from './commands/repository/list.ts';
import { addRepositoryRemove } from './commands/repository/remove.ts';
import { addRepositoryScan } from './commands/repository/scan.ts';
import { addRepositoryShow } from './commands/repository/show.ts';
import { addRepositoryStats } from './commands/repository/stats.ts';
import { addServiceList } from './commands/service/list.ts';
import { addServiceSet } from './commands/service/set.ts';
import { addSnapshotAdd } from './commands/snapshot/add.ts';
import { addSnapshotCreate } from './commands/snapshot/create.ts';
import { addSnapshotList } from './commands/snapshot/list.ts';
import { addSnapshotRemove } from './commands/snapshot/remove.ts';
import { addSnapshotShow } from './commands/snapshot/show.ts';
import { addStatus } from './commands/status.ts';
import { addUnmount } from './commands/unmount.ts';
import { addViewList } from './commands/view/list.ts';
import { addVolumeAdd } from './commands/volume/add.ts';
import { addVolumeList } from './commands/volume/list.ts';
import { addVolumeRemove } from './commands/volume/remove.ts';
import { addVolumeSet } from './commands/volume/set.ts';
import { addVolumeShow } from './commands/volume/show.ts';
import { addVolumeUnset } from './commands/volume/unset.ts';
import { formats } from './output/print.ts';
import { defaultSocketPath } from './session.ts';
import { collect } from './verb.ts';

type AddVerb = (noun: Command) => void;

/** A noun under a noun: `basaltctl backup record export`. */
const nounWithin =
  (name: string, about: string, verbs: readonly AddVerb[]): AddVerb =>
  (outer) => {
    const noun = outer.command(name).summary(about).description(about);
    for (const addVerb of verbs) addVerb(noun);
    noun.addHelpText(
      'after',
      `\nExample:\n  $ basaltctl ${outer.name()} ${name} ${noun.commands[0]?.name() ?? ''} --help\n\nExit status: see the help of each verb.`,
    );
  };

/** The nouns in the order of the help, each with its verbs. */
const nouns: readonly (readonly [name: string, about: string, verbs: readonly AddVerb[]])[] = [
  [
    'volume',
    'What is backed up',
    [addVolumeAdd, addVolumeList, addVolumeShow, addVolumeSet, addVolumeUnset, addVolumeRemove],
  ],
  [
    'snapshot',
    'Frozen copies of volumes, to be backed up in their place',
    [addSnapshotCreate, addSnapshotAdd, addSnapshotList, addSnapshotShow, addSnapshotRemove],
  ],
  [
    'backup',
    'Points in time of volumes',
    [
      addBackupCreate,
      addBackupList,
      addBackupShow,
      addBackupSet,
      addBackupUnset,
      addBackupDelete,
      addBackupRestore,
      addBackupVerify,
      addBackupCopy,
      addBackupDiff,
      nounWithin('record', 'Backups known by their records alone', [
        addBackupRecordExport,
        addBackupRecordImport,
      ]),
    ],
  ],
  [
    'device',
    'Volumes of storages while they are attached to this host',
    [addDeviceList, addDeviceShow, addDeviceAttach, addDeviceDetach, addDeviceRescan, addDeviceConnector],
  ],
  ['view', 'Backups as files', [addViewList]],
  [
    'file',
    'Files inside backups, without mounting',
    [addFileList, addFileShow, addFileGet, addFileFind, addFileHistory, addFileDiff],
  ],
  [
    'job',
    'What the daemon is doing and has done',
    [addJobList, addJobShow, addJobWatch, addJobCancel, addJobLimit],
  ],
  ['quota', 'How much a project may have', [addQuotaShow, addQuotaSet, addQuotaUsage]],
  ['limit', 'How fast all jobs together may go', [addLimitShow, addLimitSet]],
  [
    'repository',
    'Where backups are kept',
    [
      addRepositoryInit,
      addRepositoryAdd,
      addRepositoryList,
      addRepositoryShow,
      addRepositoryRemove,
      addRepositoryScan,
      addRepositoryCheck,
      addRepositoryAudit,
      addRepositoryStats,
    ],
  ],
  ['catalog', "The daemon's fast copy of what the repository holds", [addCatalogRebuild]],
  ['service', 'The backup service of this host', [addServiceList, addServiceSet]],
  ['config', 'The settings of the daemon', [addConfigCheck, addConfigShow]],
];

const firstSteps = `
Examples:
  $ basaltctl volume add web /srv/images/web.img
  $ basaltctl backup create web --wait
  $ basaltctl backup list
  $ basaltctl backup restore BACKUP /srv/images/web-restored.img --wait
  $ basaltctl mount BACKUP /mnt/web

Help of a noun or a verb: basaltctl backup --help, basaltctl backup create --help.
A volume or backup is named by its name or its id; of several backups of one name the only one that has data is meant
where it is to be read. -f json is for programs: whole bytes and stable keys on stdout,
errors as {"error": {"code", "message", "hint"}} on stderr.
Exit status: 0 done, 64 usage, 65 damaged data, 66 no such thing, 69 no daemon, 73 target, 74 input or output,
75 try later, 76 versions, 77 not permitted, 78 settings, 130 detached by Ctrl-C.`;

/** Commander's own messages are not shown: who parses catches them and tells them as faults. */
export function createProgram(writeOut: (text: string) => void, writeHelp: (text: string) => void): Command {
  const program = new Command('basaltctl')
    .description('Backs up block volumes, and gives any point in time back as a volume or as files')
    .version(`basaltctl ${productVersion}`, '--version', 'print the version')
    .helpOption('-h, --help', 'explain')
    .helpCommand('help [noun]', 'Explains a noun')
    .exitOverride()
    .configureOutput({ writeOut, writeErr: writeHelp, outputError: () => {} })
    .configureHelp({ showGlobalOptions: true, helpWidth: process.stdout.columns ?? 100 })
    .addHelpText('after', firstSteps);
  addGlobalOptions(program);
  for (const [name, about, verbs] of nouns) {
    const noun = program.command(name).description(about);
    for (const addVerb of verbs) addVerb(noun);
    noun.addHelpText(
      'after',
      `\nExample:\n  $ basaltctl ${name} ${noun.commands[0]?.name() ?? ''} --help\n\nExit status: see the help of each verb.`,
    );
  }
  for (const addVerb of [addMount, addUnmount, addEvents, addStatus, addCompletion]) addVerb(program);
  return program;
}

function addGlobalOptions(program: Command): void {
  program
    .addOption(
      new Option('--socket <SOCKET>', 'socket of the daemon').env('BASALT_SOCKET').default(defaultSocketPath),
    )
    .addOption(new Option('--project <PROJECT>', 'project to act for').env('BASALT_PROJECT'))
    .addOption(
      new Option('-f, --format <FORMAT>', 'how to print')
        .choices(formats)
        .env('BASALT_OUTPUT_FORMAT')
        .default('table'),
    )
    .addOption(
      new Option('-c, --column <COLUMN>', 'show only this column, by title or key; may be repeated')
        .argParser(collect)
        .default([], 'all'),
    );
}
