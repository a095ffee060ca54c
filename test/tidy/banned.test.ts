/** What must not be written in this project, each with what to write in its place and a sample that proves the ban works. */

import { expect, test } from 'vitest';
import {
  filesBelow,
  productFiles,
  type SourceFile,
  typeScript,
  withoutComments,
} from '../support/source-files.ts';

interface Ban {
  readonly what: string;
  readonly pattern: RegExp;
  readonly instead: string;
  /** Where it is banned. */
  readonly within: (path: string) => boolean;
  /** Comments count, too. */
  readonly inComments?: boolean;
  /** A line that must be reported, as the text of `samplePath`. */
  readonly sample: string;
  readonly samplePath: string;
}

const inDaemon = (path: string): boolean => path.startsWith('daemon/');
const inProduct = (path: string): boolean => /^(daemon|client|native)\//.test(path);
const inTypeScript = (path: string): boolean => path.endsWith('.ts');
/** The one place that starts programs of the operator, and ends them with what they have started. */
const programFile = 'daemon/base/program.ts';
/** Starts programs of the system by their full paths; some of them must outlive a daemon that is killed. */
const toolsFile = 'daemon/devices/connect/tools.ts';
/** Starts the reader of file systems, a program of our own, with open files in place of words. */
const readerFile = 'daemon/view/browse/process.ts';
/** Starts programs by their full paths that go on as long as a device is attached, and ends them again. */
const linesFile = 'daemon/devices/connect/tool-lines.ts';
const lastingFile = 'daemon/devices/connect/bridge/lasting-process.ts';
const startersOfPrograms: readonly string[] = [programFile, readerFile, toolsFile, linesFile, lastingFile];
const anywhere = (): boolean => true;

const bans: readonly Ban[] = [
  {
    what: 'process.exit outside of the main file',
    pattern: /\bprocess\.(exit|abort|kill)\(/,
    instead: 'throw a Fault, or set process.exitCode in client/main.ts',
    within: (path) =>
      inProduct(path) && path !== 'daemon/main.ts' && path !== programFile && path !== lastingFile,
    sample: 'process.exit(1);',
    samplePath: 'daemon/jobs/planted.ts',
  },
  {
    what: 'console',
    pattern: /\bconsole\.\w/,
    instead: 'a log that is handed in (jobs, control, main), or client/output',
    within: inProduct,
    sample: "console.log('here');",
    samplePath: 'client/planted.ts',
  },
  {
    what: 'a call that blocks the only thread',
    pattern: /\b\w+Sync\(|\bAtomics\.wait\(/,
    instead: 'the function of node:fs/promises, or the addon',
    within: inDaemon,
    sample: "const text = readFileSync('/etc/hostname');",
    samplePath: 'daemon/devices/planted.ts',
  },
  {
    what: 'a shell',
    pattern: /(?<![.\w])(exec|spawn)\(|\bshell: true/,
    instead: 'runCommand of daemon/view/commands.ts: a program with a list of words, and a time limit',
    within: (path) => inDaemon(path) && !startersOfPrograms.includes(path),
    sample: 'exec(`umount ${folder}`);',
    samplePath: 'daemon/view/planted.ts',
  },
  {
    what: 'the clock of the machine',
    pattern: /\bDate\.now\(|\bnew Date\(\)/,
    instead: 'a Clock that is handed in (daemon/base/clock.ts)',
    within: (path) => inDaemon(path) && path !== 'daemon/base/clock.ts',
    sample: 'const now = Date.now();',
    samplePath: 'daemon/catalog/planted.ts',
  },
  {
    what: 'a status past its table',
    pattern: /(?<!readonly )\bstatus: (?!string|\w+Status\b)[^;]*'/,
    instead: 'begin(…) or move(record, …) of a machine in daemon/catalog/statuses.ts',
    within: (path) => /^daemon\/(jobs|catalog|pipeline|agent)/.test(path),
    sample: "changes.put('volumes', { ...volume, status: 'available' });",
    samplePath: 'daemon/jobs/planted.ts',
  },
  {
    what: 'chance without a source',
    pattern: /\bMath\.random\(/,
    instead: 'randomUUID or randomBytes of node:crypto',
    within: inProduct,
    sample: 'const id = Math.random();',
    samplePath: 'daemon/jobs/planted.ts',
  },
  {
    what: 'any',
    pattern: /(:|<|\bas|\|) ?any\b(?! \w)/,
    instead: 'the type, or unknown and a check',
    within: inTypeScript,
    sample: 'const value = thing as any;',
    samplePath: 'test/planted.test.ts',
  },
  {
    what: 'an enum or a namespace',
    pattern: /^\s*(export )?(declare )?(const )?(enum|namespace) \w/m,
    instead: 'a list constant and the union that follows from it',
    within: inTypeScript,
    sample: 'export const enum Planted { a }',
    samplePath: 'daemon/base/planted.ts',
  },
  {
    what: 'a silenced compiler',
    pattern: /@ts-(ignore|expect-error|nocheck)/,
    instead: 'code that compiles',
    within: inTypeScript,
    inComments: true,
    sample: '// @ts-ignore',
    samplePath: 'daemon/base/planted.ts',
  },
  {
    what: 'a note to ourselves',
    pattern: /\b(TODO|FIXME|XXX|HACK)\b/,
    instead: 'the work itself, or an issue',
    within: anywhere,
    inComments: true,
    sample: '// TODO: later',
    samplePath: 'native/src/planted.cc',
  },
  {
    what: 'a test that is left out or alone',
    pattern: /\b(test|it|describe)\.(skip|only|todo)\b/,
    instead: 'a test that runs; for a machine without a device, test.skipIf with the reason',
    within: (path) => path.startsWith('test/'),
    sample: "test.only('a', () => {});",
    samplePath: 'test/planted.test.ts',
  },
  {
    what: 'a path of one machine',
    pattern: /(?<![\w.-])\/(work|home|root|Users)\/\w/,
    instead: 'a path from the settings, the arguments, import.meta.url or os.tmpdir()',
    within: anywhere,
    inComments: true,
    sample: '# see /home/somebody/notes',
    samplePath: 'Makefile',
  },
];

const code = new Map<SourceFile, string>();

/** Reading without comments is the same for all bans. */
function codeOf(file: SourceFile): string {
  const known = code.get(file) ?? withoutComments(file.text);
  code.set(file, known);
  return known;
}

function found(ban: Ban, file: SourceFile): string[] {
  if (!ban.within(file.path)) return [];
  const lines = (ban.inComments === true ? file.text : codeOf(file)).split('\n');
  return lines.flatMap((line, number) =>
    ban.pattern.test(line) ? [`${file.path}:${number + 1} has ${ban.what}; write ${ban.instead}`] : [],
  );
}

/** This file names all that is banned. */
const self = 'test/tidy/banned.test.ts';
const texts = ['.md', '.py', '.mjs', '.json', '.toml', '.service', '.sysusers', '.sh', '.gyp'];
const files = [
  ...productFiles(),
  ...typeScript('test'),
  ...['test', 'docs', 'systemd'].flatMap((folder) => filesBelow(folder, texts)),
].filter(({ path }) => path !== self);

test.each(bans.map((ban) => [ban.what, ban] as const))('%s is nowhere to be found', (_, ban) => {
  expect(files.flatMap((file) => found(ban, file))).toEqual([]);
});

test.each(bans.map((ban) => [ban.what, ban] as const))('a planted sample of %s is reported', (_, ban) => {
  expect(found(ban, { path: ban.samplePath, text: `${ban.sample}\n` })).toHaveLength(1);
});

test('what stands in a comment only is no code', () => {
  expect(withoutComments("const a = 'http://b'; // c\n/* d\n */ e")).toBe(
    "const a = 'http://b';     \n    \n    e",
  );
});
