/** The page beside Cinder's backup service is whole and honest: what Cinder has is in it, and the tests that it names exist. */

import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { settingOfOption, takenOptions } from '../../daemon/config/cinder/names.ts';
import { leftOutOptions } from '../../daemon/config/cinder/options.ts';
import { projectRoot } from '../support/source-files.ts';

const page = readFileSync(`${projectRoot}docs/cinder.md`, 'utf8');

interface Row {
  readonly section: string;
  readonly cinder: string;
  readonly mark: string;
  readonly proof: string;
}

const marks = ['same', 'better', 'different', 'none', 'not yet'];

/** Every row of the tables with four columns. */
function rowsOf(text: string): Row[] {
  let section = '';
  return text.split('\n').flatMap((line) => {
    if (line.startsWith('## ')) section = line.slice(3);
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const [, cinder = '', , mark = '', proof = ''] = cells;
    if (cells.length !== 6 || cinder === 'Cinder' || cinder.startsWith('---')) return [];
    return [{ section, cinder, mark, proof }];
  });
}

const reference = /`((?:unit|contract|property|scenario|platform)\/[\w/-]+)` \*([^*]+)\*/g;

/** What is wrong with a row. */
function faultsOf({ cinder, mark, proof }: Row): string[] {
  if (!marks.includes(mark)) return [`"${cinder}" has the mark "${mark}"`];
  if (mark !== 'same' && mark !== 'better') return proof === '' ? [`"${cinder}" has no reason`] : [];
  const named = [...proof.matchAll(reference)];
  if (named.length === 0) return [`"${cinder}" names no test`];
  return named.flatMap(([, file = '', title = '']) => {
    const paths = ['.test.ts', '.ts'].map((ending) => `${projectRoot}test/${file}${ending}`);
    const path = paths.find((one) => existsSync(one));
    if (path === undefined) return [`"${cinder}" names ${file}, which is not there`];
    const source = readFileSync(path, 'utf8');
    // A title with quotes in it stands between other ones.
    const isThere = ["'", '`', '"'].some((quote) => source.includes(`${quote}${title}`));
    return isThere ? [] : [`"${cinder}" names "${title}", which ${file} does not have`];
  });
}

const rows = rowsOf(page);
const quoted = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');

test('every row has a mark; "same" and "better" name tests that exist, the others a reason', () => {
  expect(rows.length).toBeGreaterThan(120);
  expect(rows.flatMap(faultsOf)).toEqual([]);
});

/** Verbs of Cinder's two clients with all of their flags. */
const verbs: Readonly<Record<string, string>> = {
  'backup create':
    '--name --description --container --snapshot --force --incremental --no-incremental --property --availability-zone',
  'backup delete': '--force',
  'backup list': '--long --name --status --volume --project --all-projects --limit --marker --max-items',
  'backup show': '',
  'backup restore': '--force',
  'backup set': '--name --description --state --property --no-property',
  'backup unset': '--property',
  'backup record export': '',
  'backup record import': '',
  create: '--backup',
  'quota set': '--backups --backup-gigabytes',
  'backup-create':
    '--container --name --description --incremental --force --snapshot-id --metadata --availability-zone',
  'backup-list': '--all-tenants --name --status --volume-id --marker --limit --sort --filters --with-count',
  'backup-show': '',
  'backup-delete': '--force',
  'backup-restore': '--volume --name --volume-type --availability-zone',
  'backup-update': '--name --description --metadata',
  'backup-reset-state': '--state',
  'backup-export': '',
  'backup-import': '',
};

test.each(Object.entries(verbs))('the verb "%s" is there with every flag', (verb, flags) => {
  const about = rows.filter(({ cinder }) =>
    quoted(cinder).some((text) => text === verb || text.startsWith(`${verb} `)),
  );
  expect(about.length).toBeGreaterThan(0);
  const words = new Set(about.flatMap(({ cinder }) => quoted(cinder).flatMap((text) => text.split(' '))));
  expect(flags.split(' ').filter((flag) => flag !== '' && !words.has(flag))).toEqual([]);
});

const namedIn = (section: string): Set<string> =>
  new Set(rows.filter((row) => row.section === section).flatMap(({ cinder }) => quoted(cinder)));

test('every status of a backup and of its volume is there', () => {
  const there = namedIn('Statuses');
  const statuses =
    `creating available deleting deleted restoring error error_deleting error_restoring backing-up
    restoring-backup`.split(/\s+/);
  expect(statuses.filter((status) => !there.has(status))).toEqual([]);
});

test('every option is there, and one that is a setting is not said to be missing', () => {
  const options = rows.filter(({ section }) => section === 'Options');
  const there = namedIn('Options');
  const known = [...takenOptions, ...Object.keys(leftOutOptions)];
  expect(known.filter((option) => !there.has(option))).toEqual([]);
  expect([...there].filter((option) => !known.includes(option))).toEqual([]);
  const missing = options.filter(({ mark }) => mark === 'none');
  expect(missing.flatMap(({ cinder }) => quoted(cinder)).filter(settingOfOption)).toEqual([]);
});

test.each([
  ['| `x` | `x` | same | because |', 'names no test'],
  ['| `x` | `x` | same | `unit/config/none` *a title* |', 'not there'],
  ['| `x` | `x` | better | `unit/config/cinder` *a title that nobody wrote* |', 'does not have'],
  ['| `x` | `x` | different | |', 'no reason'],
  ['| `x` | `x` | maybe | why |', 'has the mark'],
])('a planted row %s is reported', (line, fault) => {
  expect(rowsOf(line).flatMap(faultsOf)).toEqual([expect.stringContaining(fault)]);
});
