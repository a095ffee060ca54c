/** The house: who may import whom. The table is the one of the plan; a folder imports folders of lower rank that its row names. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { expect, test } from 'vitest';
import { projectRoot, type SourceFile, typeScript, withoutComments } from '../support/source-files.ts';

interface Row {
  readonly rank: number;
  readonly mayUse: readonly string[];
  readonly because: string;
}

const everything =
  'control jobs pipeline view catalog repository storage devices memory format protocol config base'.split(
    ' ',
  );

const rooms: Readonly<Record<string, Row>> = {
  'main.ts': {
    rank: 9,
    mayUse: ['agent.ts', 'config', 'protocol', 'base'],
    because:
      'argv, signals and exit status are all it knows; of the protocol only the version of the product',
  },
  'agent.ts': { rank: 8, mayUse: everything, because: 'somebody has to put the parts together, once' },
  control: {
    rank: 7,
    mayUse: ['jobs', 'catalog', 'config', 'protocol', 'memory', 'base'],
    because: 'what a caller may do is a job; the socket must not reach around it to data',
  },
  jobs: {
    rank: 6,
    mayUse: ['pipeline', 'view', 'catalog', 'repository', 'devices', 'format', 'memory', 'base'],
    because: 'a job must run without a socket; of the format it knows statuses and the shape of a manifest',
  },
  pipeline: {
    rank: 5,
    mayUse: ['devices', 'repository', 'format', 'memory', 'base'],
    because: 'a copy must run in a test without jobs or a catalog',
  },
  view: {
    rank: 5,
    mayUse: ['repository', 'format', 'memory', 'base'],
    because: 'what is shown comes from a source that is handed in, so that the view needs no catalog',
  },
  catalog: {
    rank: 4,
    mayUse: ['format', 'memory', 'base'],
    because: 'a record is a plain value; the catalog must never reach for the repository by itself',
  },
  repository: {
    rank: 3,
    mayUse: ['format', 'storage', 'memory', 'base'],
    because: 'the order of writes is kept here, whatever devices or jobs there are',
  },
  storage: {
    rank: 2,
    mayUse: ['memory', 'base'],
    because: 'a storage moves bytes; it must not know what they mean',
  },
  devices: { rank: 2, mayUse: ['base'], because: 'a device knows nothing of backups' },
  memory: { rank: 1, mayUse: ['base'], because: 'every room above borrows from it' },
  format: { rank: 1, mayUse: ['base'], because: 'bytes and values, no input or output' },
  protocol: {
    rank: 1,
    mayUse: ['base'],
    because: 'the client imports it, and must get nothing else with it',
  },
  config: { rank: 1, mayUse: ['base'], because: 'settings are checked before anything is built' },
  base: { rank: 0, mayUse: [], because: 'it is under everything' },
};

interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

function importsOf({ path, text }: SourceFile): Import[] {
  const statement = /^(import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'(\.[^']+)'|import\('(\.[^']+)'\)/gm;
  return [...withoutComments(text).matchAll(statement)].map((match) => ({
    target: join(dirname(path), match[3] ?? match[4] ?? ''),
    typeOnly: match[2] !== undefined,
  }));
}

const roomOf = (path: string): string => path.split('/')[1] ?? '';

/** Why the import is not allowed, or undefined. */
function ban(from: string, { target, typeOnly }: Import): string | undefined {
  if (target === 'native/native.ts' && !from.startsWith('native/')) {
    return typeOnly || from === 'daemon/agent.ts'
      ? undefined
      : 'values of the addon are handed in as parts by agent.ts';
  }
  if (from.startsWith('native/')) {
    return typeOnly && target.startsWith('native/')
      ? undefined
      : 'the face of the addon imports nothing of ours';
  }
  if (from.startsWith('client/')) {
    return target.startsWith('client/') || target.startsWith('daemon/protocol/')
      ? undefined
      : 'the client may be newer or older than the daemon: it knows only the protocol';
  }
  if (!target.startsWith('daemon/')) return 'the daemon imports only itself';
  const [own, other] = [roomOf(from), roomOf(target)];
  const row = rooms[own];
  if (row === undefined) return `"${own}" has no row in the table of rooms`;
  return own === other || row.mayUse.includes(other) ? undefined : row.because;
}

const violations = (files: readonly SourceFile[]): string[] =>
  files.flatMap((file) =>
    importsOf(file).flatMap((imported) => {
      const because = ban(file.path, imported);
      return because === undefined ? [] : [`${file.path} imports ${imported.target}: ${because}`];
    }),
  );

/** The first circle of imports, as its path; undefined where there is none. */
function findCycle(files: readonly SourceFile[]): string[] | undefined {
  const graph = new Map(files.map((file) => [file.path, importsOf(file).map(({ target }) => target)]));
  const finished = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string[] | undefined => {
    const again = trail.indexOf(path);
    if (again >= 0) return [...trail.slice(again), path];
    if (finished.has(path)) return undefined;
    for (const next of graph.get(path) ?? []) {
      const cycle = visit(next, [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    finished.add(path);
    return undefined;
  };
  for (const path of graph.keys()) {
    const cycle = visit(path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

const product = typeScript('daemon', 'client', 'native');

test('every room of the table is there, and every folder of the daemon has a row', () => {
  for (const name of Object.keys(rooms)) expect(existsSync(`${projectRoot}daemon/${name}`), name).toBe(true);
  const found = new Set(typeScript('daemon').map(({ path }) => roomOf(path)));
  expect([...found].sort()).toEqual(Object.keys(rooms).sort());
});

test('a row names only rooms of lower rank, so that no two rooms lean on each other', () => {
  for (const [name, { rank, mayUse }] of Object.entries(rooms)) {
    for (const other of mayUse) expect(rooms[other]?.rank, `${name} uses ${other}`).toBeLessThan(rank);
  }
});

test('files import only what the row of their folder names', () => {
  expect(violations(product)).toEqual([]);
});

test('imports are seen at all: the check reads as many as there are lines with them', () => {
  const seen = product.flatMap(importsOf).length;
  const lines = product.flatMap(({ text }) => text.match(/(from |import\()'\.\.?\//g) ?? []).length;
  expect(seen).toBe(lines);
  expect(seen).toBeGreaterThan(200);
});

test('no file imports itself by way of others', () => {
  expect(findCycle(product)).toBeUndefined();
});

const planted: readonly (readonly [path: string, text: string])[] = [
  ['daemon/storage/planted.ts', "import { parseManifest } from '../format/manifest.ts';"],
  ['daemon/pipeline/planted.ts', "import type {\n  Jobs,\n} from '../jobs/jobs.ts';"],
  ['daemon/view/planted.ts', "export { backUp } from '../pipeline/backup.ts';"],
  ['daemon/jobs/planted.ts', "const late = await import('../control/server.ts');"],
  ['daemon/repository/planted.ts', "import { native } from '../../native/native.ts';"],
  ['client/planted.ts', "import { faults } from '../daemon/base/faults.ts';"],
  ['daemon/attic/planted.ts', "import { assert } from '../base/assert.ts';"],
  ['native/planted.ts', "import { assert } from '../daemon/base/assert.ts';"],
];

test.each(planted)('a planted import in %s is reported', (path, text) => {
  expect(violations([{ path, text }])).toHaveLength(1);
});

test('a planted circle is reported with the whole way round', () => {
  const files = [
    { path: 'daemon/base/a.ts', text: "import { b } from './b.ts';" },
    { path: 'daemon/base/b.ts', text: "import type { c } from './c.ts';" },
    { path: 'daemon/base/c.ts', text: "import { a } from './a.ts';" },
  ];
  expect(findCycle(files)).toEqual([
    'daemon/base/a.ts',
    'daemon/base/b.ts',
    'daemon/base/c.ts',
    'daemon/base/a.ts',
  ]);
});
