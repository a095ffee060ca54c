import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { Fault } from '../../../daemon/base/faults.ts';
import { importCinderSettings } from '../../../daemon/config/cinder/import.ts';
import { settingOfOption, takenOptions } from '../../../daemon/config/cinder/names.ts';
import { leftOutOptions } from '../../../daemon/config/cinder/options.ts';
import { parseOsloFile, substitute } from '../../../daemon/config/cinder/oslo-file.ts';
import { type SettingRow, settings } from '../../../daemon/config/settings.ts';

const imported = (...lines: string[]) => importCinderSettings(`${lines.join('\n')}\n`, 'cinder.conf');
const settingsOf = (...lines: string[]): Record<string, unknown> => parse(imported(...lines).text);
/** Values by section, as plain objects. */
const sectionsOf = (text: string) =>
  Object.fromEntries(
    [...parseOsloFile(text, 'f').sections].map(([name, section]) => [name, Object.fromEntries(section)]),
  );

test('sections, comments, continuation lines, quotes, colons and repeated options are read as oslo.config does', () => {
  const text = [
    'before = 1',
    '[DEFAULT]',
    '# a comment',
    '; another',
    'a = 1',
    'a = 2',
    'b: x=y',
    'c = "quoted"',
    "d = 'x",
    'e = one',
    '    two',
    '\tthree',
    '',
    'f =',
    '[Database]',
    'connection = mysql://u:p@h/d # not a comment',
  ].join('\r\n');
  expect(sectionsOf(text)).toEqual({
    DEFAULT: { before: '1', a: '2', b: 'x=y', c: 'quoted', d: "'x", e: 'one\ntwo\nthree', f: '' },
    database: { connection: 'mysql://u:p@h/d # not a comment' },
  });
});

test.each([
  ['no assignment', 'a = 1\nnonsense', /line 2: an option is written as name = value/],
  ['an empty name', '= 1', /line 1: an option/],
  ['a section without an end', '\n[DEFAULT', /line 2: a section is written as \[name\]/],
  ['a section without a name', '[]', /line 1: a section/],
  ['a continuation of nothing', '[DEFAULT]\n  x', /line 2: it continues nothing/],
  ['a continuation behind a blank line', 'a = 1\n\n  x', /line 3: it continues nothing/],
])('%s is refused with its line', (_, text, sentence) => {
  expect(() => parseOsloFile(text, 'cinder.conf')).toThrow(sentence);
});

const line = fc.oneof(
  fc.constantFrom('', '[DEFAULT]', '[a]', '[A]', '[]', '[x', '# c', '; c', 'a', '=b', 'a=', 'a = "', " 'x'"),
  fc
    .tuple(
      fc.constantFrom('', ' ', '\t'),
      fc.constantFrom('a', 'b_c', 'd'),
      fc.constantFrom('=', ':', ' = '),
      fc.string(),
    )
    .map((parts) => parts.join('')),
  fc.string(),
);
const file = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n'));

test('any text is read, or refused with a fault', () => {
  fc.assert(
    fc.property(file, (text) => {
      try {
        importCinderSettings(text, 'f');
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(Fault);
      }
    }),
    { numRuns: 1000 },
  );
});

const hasOslo = spawnSync('/usr/bin/python3', ['-c', 'import oslo_config']).status === 0;

test.skipIf(!hasOslo)('oslo.config itself reads the same from any text', () => {
  const texts = fc.sample(
    fc
      .array(
        line.filter((one) => !/[^\n\t -~]/.test(one)),
        { maxLength: 8 },
      )
      .map((lines) => lines.join('\n')),
    3000,
  );
  const reader = fileURLToPath(new URL('../../support/cinder/read_oslo.py', import.meta.url));
  const output = execFileSync('/usr/bin/python3', [reader], {
    input: `${JSON.stringify(texts)}\n`,
    encoding: 'utf8',
  });
  const theirs = JSON.parse(output) as (Record<string, unknown> | null)[];
  const withOptions = (sections: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(sections).filter(([, section]) => Object.keys(section ?? {}).length > 0),
    );
  expect(theirs.filter((sections) => sections !== null).length).toBeGreaterThan(200);
  for (const [at, text] of texts.entries()) {
    let ours: Record<string, unknown> | null;
    try {
      ours = withOptions(sectionsOf(text));
    } catch {
      ours = null;
    }
    const their = theirs[at];
    expect([text, ours]).toEqual([text, their === null || their === undefined ? null : withOptions(their)]);
  }
});

test('references are replaced as oslo.config does, and circles end', () => {
  const values: Readonly<Record<string, string>> = { a: '/x', b: '$a/y', c: '$d', d: '$c', 'g.h': 'z' };
  const of = (text: string) => substitute(text, (name) => values[name]);
  expect(of('$b/${a}')).toBe('/x/y//x');
  expect(of('${g.h}%s')).toBe('z%s');
  expect(of('\\$a $$a')).toBe('$a $a');
  expect(of('$unknown')).toBeUndefined();
  expect(of('$c')).toBeUndefined();
  // Names of names of names: a billion letters, if anybody wrote them down.
  const ofNext = (name: string) =>
    name === 'a9' ? 'x'.repeat(10) : `$a${Number(name.slice(1)) + 1}`.repeat(10);
  expect(substitute('$a0', ofNext)).toBeUndefined();
});

test('every option of the backup service is taken or left out with a reason, and none is both', () => {
  for (const option of Object.keys(leftOutOptions)) expect(settingOfOption(option), option).toBeUndefined();
  expect(Object.keys(leftOutOptions).length).toBeGreaterThan(60);
  expect(new Set(takenOptions).size).toBe(takenOptions.length);
});

test('options of the backup service become the settings of Basalt', () => {
  expect(
    settingsOf(
      '[DEFAULT]',
      'state_path = /srv/cinder',
      'backup_driver = cinder.backup.drivers.posix.PosixBackupDriver',
      'backup_posix_path = $state_path/backup',
      'backup_max_operations = 4',
      'storage_availability_zone = az-2',
      'osapi_max_limit = 500',
      'quota_backups = -1',
      'quota_backup_gigabytes = 2000',
      'backup_compression_algorithm = None',
      'backup_sha_block_size_bytes = 32768',
      'backup_driver_init_check_interval = 30',
      'debug = yes',
      'backup_enable_progress_timer = False',
      'backup_timer_interval = 60',
      'backup_service_inithost_offload = 0',
      'use_multipath_for_image_xfer = False',
      'enforce_multipath_for_image_xfer = True',
      'num_volume_device_scan_tries = 5',
    ),
  ).toEqual({
    state_dir: '/srv/cinder',
    repository: 'file:///srv/cinder/backup/basalt',
    max_operations: 4,
    availability_zone: 'az-2',
    list_limit: 500,
    quota_backups: -1,
    quota_backup_gigabytes: 2000,
    compression_level: 0,
    block_bytes: 32768,
    repository_check_interval: 30,
    log_level: 'debug',
    enable_progress_timer: false,
    progress_interval: 60,
    offload_recovery: false,
    use_multipath: false,
    enforce_multipath: true,
    num_volume_device_scan_tries: 5,
  });
});

test('what is imported is taken by the loader: every value fits its setting', () => {
  const values = ['1', '32768', 'true', 'zstd', '/a', 'nova', '60'];
  for (const option of takenOptions) {
    for (const value of values) {
      for (const [name, taken] of Object.entries(settingsOf(`${option} = ${value}`))) {
        const row: SettingRow<unknown> | undefined = Object.entries(settings).find(
          ([known]) => known === name,
        )?.[1];
        expect(row?.shape.read(taken), `${option} = ${value}`).not.toBeUndefined();
      }
    }
  }
});

test.each([
  ['0', 0],
  ['15', 15],
  ['5000', 1000],
])('backup_max_operations = %s is max_operations = %d', (text, value) => {
  expect(settingsOf(`backup_max_operations = ${text}`)).toEqual({ max_operations: value });
});

test.each(['zlib', 'gzip', 'bz2', 'bzip2', 'ZSTD'])('compression %s becomes zstd', (word) => {
  const { text } = imported(`backup_compression_algorithm = ${word}`);
  expect(parse(text)).toEqual({ compression_level: 1 });
  expect(text.includes('compressed with zstd, not')).toBe(word !== 'ZSTD');
});

test('the share of the NFS driver is where Cinder mounts it', () => {
  const { text } = imported(
    'backup_driver = cinder.backup.drivers.nfs.NFSBackupDriver',
    'backup_share = 172.18.194.100:/var/nfs',
    'state_path = /var/lib/cinder',
  );
  // MD5 of the share, as the library names the folder.
  expect(parse(text)['repository']).toBe(
    'file:///var/lib/cinder/backup_mount/df0808229363aad55c27da50c38d6328/basalt',
  );
  expect(text).toContain('mount the share there');
});

test('of options that are one setting here, that of the driver in use counts, and the others are named', () => {
  const timers = (driver: string) =>
    imported(
      '[DEFAULT]',
      `backup_driver = cinder.backup.drivers.${driver}`,
      'backup_enable_progress_timer = False',
      'backup_swift_enable_progress_timer = True',
      'backup_s3_enable_progress_timer = True',
    );
  const posix = timers('posix.PosixBackupDriver');
  expect(parse(posix.text)).toMatchObject({ enable_progress_timer: false });
  for (const other of ['swift', 's3'])
    expect(posix.text).toContain(
      `# - backup_${other}_enable_progress_timer: backup_enable_progress_timer says it`,
    );
  expect(parse(timers('swift.SwiftBackupDriver').text)).toMatchObject({ enable_progress_timer: true });
  expect(parse(timers('s3.S3BackupDriver').text)).toMatchObject({ enable_progress_timer: true });
});

test('a driver without a folder leaves the repository to the operator', () => {
  const { text } = imported('backup_driver = cinder.backup.drivers.swift.SwiftBackupDriver');
  expect(parse(text)).toEqual({});
  expect(text).toContain('# - backup_driver: backups of driver "swift" are in no folder of this host.');
});

test('what is left out is named with its reason, and no secret is repeated', () => {
  const { text, leftOut } = imported(
    '[DEFAULT]',
    'transport_url = rabbit://u:hunter2@h',
    'enabled_backends = lvm',
    'backup_swift_key = hunter2',
    'backup_workers = 4',
    'backup_name_template = backup-%s',
    'backup_max_operations = many',
    'backup_posix_path = relative',
    '[lvm]',
    'backup_max_operations = 3',
    '[keystone_authtoken]',
    'password = hunter2',
  );
  expect(text).not.toContain('hunter2');
  expect(parse(text)).toEqual({});
  expect(leftOut).toBe(7);
  for (const said of [
    'transport_url: it is no option of the backup service',
    'enabled_backends: it is no option of the backup service',
    'backup_swift_key: it describes a repository of kind Swift',
    'backup_workers: one process does all the work',
    'backup_name_template: a backup without a name is called by its id',
    'backup_max_operations: its value is not a whole number',
    'backup_posix_path: backup_posix_path is no absolute path',
    '[lvm] [keystone_authtoken]: only [DEFAULT]',
  ])
    expect(text).toContain(`# - ${said}`);
});

test('a hostile file can not write settings of its own into the result', () => {
  const { text } = importCinderSettings(
    'x\u2028state_dir = "/evil"\n[a\u0085b]\nlog_level\u000b= 1\n',
    'a\nrepository = "x"',
  );
  expect(parse(text)).toEqual({});
  expect(text.split('\n').every((one) => one === '' || one.startsWith('#'))).toBe(true);
});
