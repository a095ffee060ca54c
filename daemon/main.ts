#!/usr/bin/env node
/** The program `basaltd`: argv, settings, signals, exit status. The only file that ends the process. */

import { setFlagsFromString } from 'node:v8';
import { Command, CommanderError } from 'commander';
import pino from 'pino';
import { startAgent } from './agent.ts';
import { Fault, faults, toFault } from './base/faults.ts';
import { checkSettings, requireUsable } from './config/check.ts';
import { readCinderSettings } from './config/cinder/import.ts';
import { type EffectiveSettings, loadSettings } from './config/load.ts';
import { showSettings } from './config/render.ts';
import { productVersion } from './protocol/version.ts';

interface Flags {
  readonly config?: string;
  readonly stateDir?: string;
  readonly socket?: string;
  readonly repository?: string;
  readonly viewDir?: string;
  readonly memoryLimit?: string;
  readonly logLevel?: string;
}

const usageExit = 64;

function program(): Command {
  const root = new Command('basaltd');
  root
    .description('Backs up and restores block volumes; takes commands from basaltctl over a Unix socket.')
    .version(productVersion)
    .option('--config <file>', 'settings file (TOML); default: /etc/basalt/basaltd.toml, if it is there')
    .option('--state-dir <folder>', 'catalog, index and lock of this host')
    .option('--socket <path>', 'Unix socket to take commands on')
    .option('--repository <url>', 'where backups are kept: file:///path')
    .option('--view-dir <folder>', 'where every backup is visible as a file; "none" switches it off')
    .option('--memory-limit <size>', 'bytes of all buffers together, for example 256MiB')
    .option('--log-level <level>', 'fatal, error, warn, info, debug or trace')
    .addHelpText(
      'after',
      `
Example:
  basaltd --state-dir /var/lib/basalt --repository file:///srv/backups
  basaltctl repository init

SIGTERM stops it: jobs are interrupted and go on at the next start, mounts are undone; a second one stops it at once.
Exit status: 0 stopped, 64 usage, 75 another basaltd uses the state folder, 78 settings.`,
    )
    .exitOverride()
    .action(async () => run(await settingsOf(root)));
  const config = root
    .command('config')
    .description('Looks at the settings without starting the daemon.')
    .exitOverride();
  config
    .command('check [file]')
    .description('Checks the settings; exit status 78 if they can not be used.')
    .exitOverride()
    .action(async (file?: string) => checkConfig(await settingsOf(root, file)));
  config
    .command('import <cinder-conf>')
    .description('Prints a settings file that says what a cinder.conf says of the backup service.')
    .exitOverride()
    .action(importConfig);
  config
    .command('show')
    .description('Prints the settings in force.')
    .option('--origin', 'say where each value comes from')
    .exitOverride()
    .action(async ({ origin }: { origin?: boolean }) => showConfig(await settingsOf(root), origin === true));
  return root;
}

/** Prints the settings file on stdout and what to know about it on stderr. */
async function importConfig(path: string): Promise<void> {
  const { text, taken, leftOut } = await readCinderSettings(path);
  process.stdout.write(text);
  const note = `Took ${taken} settings over and left ${leftOut} options out: the comments say why`;
  process.stderr.write(`${note}\n`);
}

async function settingsOf(root: Command, positional?: string): Promise<EffectiveSettings> {
  const flags = root.opts<Flags>();
  const file = positional ?? flags.config;
  return loadSettings({
    ...(file === undefined ? {} : { file }),
    flags: {
      state_dir: flags.stateDir,
      socket: flags.socket,
      repository: flags.repository,
      view_dir: flags.viewDir,
      memory_limit: flags.memoryLimit,
      log_level: flags.logLevel,
    },
  });
}

async function checkConfig(effective: EffectiveSettings): Promise<void> {
  const problems = await checkSettings(effective.values);
  for (const { sentence } of problems) process.stderr.write(`${sentence}\n`);
  if (problems.length > 0)
    throw new Fault('CONFIG_INVALID', `Found problems in the settings: ${problems.length}`);
  process.stdout.write('The settings can be used\n');
}

function showConfig(effective: EffectiveSettings, withOrigin: boolean): void {
  for (const { name, value, origin } of showSettings(effective)) {
    const comment = withOrigin ? `  # ${origin}` : '';
    process.stdout.write(`${name} = ${JSON.stringify(value)}${comment}\n`);
  }
}

/** The heap of this process is small change beside its buffers, and must stay so: garbage would otherwise hold tens of MiB before it
 *  is swept. Takes effect while the heap is still small. */
const leanHeap = ['--optimize-for-size', '--semi-space-growth-factor=1'];

async function run(effective: EffectiveSettings): Promise<void> {
  for (const flag of leanHeap) setFlagsFromString(flag);
  await requireUsable(effective.values);
  const log = pino(
    { level: effective.values.log_level, base: { pid: process.pid } },
    pino.destination({ fd: 1, sync: true }),
  );
  process.on('unhandledRejection', (thrown) => {
    log.fatal({ err: thrown }, 'A promise was left alone: this is a bug; stopping');
    process.exit(faults.INTERNAL.exit);
  });
  const stopAsked = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      let asked = false;
      process.on(signal, () => {
        if (asked) process.exit(faults.INTERRUPTED.exit);
        asked = true;
        resolve(signal);
      });
    }
    // A terminal that goes away, or a client of our log that does, is no reason to stop.
    for (const signal of ['SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => undefined);
  });
  const agent = await startAgent(effective, log);
  const signal = await stopAsked;
  log.info({ signal }, 'Stopping');
  await agent.stop();
  log.info('Stopped');
}

try {
  await program().parseAsync();
  process.exit(0);
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exit(thrown.exitCode === 0 ? 0 : usageExit);
  const fault = toFault(thrown);
  process.stderr.write(`basaltd: ${fault.message}\n${fault.hint}\n`);
  const { problems } = fault.details ?? {};
  if (Array.isArray(problems))
    for (const problem of problems.slice(1)) process.stderr.write(`${String(problem)}\n`);
  process.exit(faults[fault.code].exit);
}
