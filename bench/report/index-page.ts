/** The table of the index, and the page that holds it alone: from what one run has measured, and from nothing else. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Options } from '../options.ts';
import type { Results } from '../results.ts';
import { aboutRun } from './machine.ts';
import { table } from './table.ts';
import { fixed, mebibytes } from './units.ts';

export async function writeIndexPage(results: Results, options: Options, seconds: number): Promise<string> {
  await mkdir(options.out, { recursive: true });
  const path = join(options.out, 'INDEX.md');
  await writeFile(path, page(results, options, seconds));
  return path;
}

const page = (results: Results, options: Options, seconds: number): string =>
  `${[
    '# Index of blocks',
    'Written by the program; every number was measured in the one run that is described here.',
    '## The run',
    aboutRun(options, seconds, []),
    '## What it costs',
    indexTable(results),
    notes,
  ].join('\n\n')}\n`;

const notes = [
  '- Known and unknown: 200 000 random addresses each, the index in the page cache, by the clock and in brackets of the',
  '  processor. Cold: 4000 of them with nothing of the index in the page cache, so that a look-up waits for the disk.',
  '- A pack has 1024 random addresses, one transaction and one flush, as a backup adds it. The index was filled in several passes',
  '  over the range of addresses with many packs a transaction, which leaves the pages of its tree split as random packs do.',
  '- Grown by: what opening, all look-ups and 200 packs added to the resident memory of the process, its own buffers too.',
].join('\n');

export function indexTable(results: Results): string {
  return table(
    [
      'entries',
      'known, cold, µs',
      'known, µs (CPU)',
      'unknown, µs (CPU)',
      'adding a pack, ms',
      'its p99, ms',
      'disk bytes a block',
      'RSS MiB grown by',
      'opening, ms',
    ],
    results.index.map((sample) => [
      String(sample.entries),
      fixed(sample.coldUs, 1),
      `${fixed(sample.knownUs, 1)} (${fixed(sample.knownCpuUs, 1)})`,
      `${fixed(sample.unknownUs, 1)} (${fixed(sample.unknownCpuUs, 1)})`,
      fixed(sample.addPackMs, 1),
      fixed(sample.addPackP99Ms, 1),
      fixed(sample.diskBytes / sample.entries, 1),
      mebibytes(sample.residentBytes),
      fixed(sample.openMs, 1),
    ]),
  );
}
