/** What the run was made on, and with what. Promises: names neither the host nor its users. */

import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { native } from '../../native/native.ts';
import { cachesWereDropped, othersLoad, procField, takenByHost } from '../measure/measure.ts';
import type { Options } from '../options.ts';
import { textTable } from './table.ts';
import { fixed, gibibytes } from './units.ts';

function git(...words: string[]): string {
  try {
    return execFileSync('git', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

function commit(): string {
  const hash = git('rev-parse', '--short=12', 'HEAD') || 'unknown';
  // What the report itself changes does not count.
  const changed = git(
    'status',
    '--porcelain',
    '--',
    'daemon',
    'client',
    'native',
    'bench/*.c',
    'bench/**/*.ts',
  );
  return changed === '' ? hash : `${hash}, with changes that are not committed`;
}

const features = (): string =>
  `${procField('/proc/cpuinfo', 'flags')} ${procField('/proc/cpuinfo', 'Features')}`;

function machineLines(): [string, string][] {
  return [
    ['processor', `${procField('/proc/cpuinfo', 'model name')}, ${cpus().length} cores`],
    [
      'SHA-256 in the processor',
      /\b(sha_ni|sha2)\b/.test(features()) ? 'yes: restic, borg and Cinder use it' : 'no',
    ],
    ['memory', gibibytes(totalmem())],
    ['kernel', execFileSync('uname', ['-sr'], { encoding: 'utf8' }).trim()],
    ['Node', process.version],
    ['BLAKE3', native.hashImplementation()],
    ['commit', commit()],
  ];
}

/** How a page came about; `more`: what belongs to this page alone. */
export function aboutRun(options: Options, seconds: number, more: readonly [string, string][]): string {
  const caches = cachesWereDropped()
    ? 'Before each measurement everything was synced and the page cache emptied.'
    : 'The page cache could not be emptied between measurements: reads may have come from memory.';
  const lines: [string, string][] = [
    ...machineLines(),
    ['command', `\`${options.command}\``],
    ['seed', String(options.seed)],
    ...more,
    ['processors busy with something else', `${fixed(othersLoad(), 2)} on average while it measured`],
    ['taken by the host of this machine', `${fixed(takenByHost(), 2)} of a processor, of these`],
    ['the run took', `${fixed(seconds / 60, 0)} minutes`],
  ];
  return `${textTable(['', ''], lines)}\n\n${caches}`;
}
