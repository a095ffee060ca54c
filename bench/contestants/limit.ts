/** The limit: a plain C program of the same stages (`bench/limit.c`), built here, and the tools that do a part of them. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureCommand } from '../measure/measure.ts';
import { type Contestant, type Session, sizeOf } from './contestant.ts';

const source = (name: string) => fileURLToPath(new URL(`../../../bench/${name}`, import.meta.url));

export interface Tools {
  readonly limit: string;
  readonly reads: string;
  readonly memoryFuse: string;
  readonly viewReads: string;
}

/** Compiles the C programs into a folder. */
export function buildTools(folder: string): Tools {
  mkdirSync(folder);
  // The sources of BLAKE3 that the addon is made from, too: see native/binding.gyp.
  const registry = '/usr/share/cargo/registry';
  const blake3 = readdirSync(registry)
    .filter((name) => name.startsWith('blake3-'))
    .map((name) => join(registry, name, 'c'))
    .at(-1);
  if (blake3 === undefined)
    throw new Error('Cannot find the C sources of BLAKE3: install librust-blake3-dev');
  const assembly =
    process.arch === 'x64'
      ? readdirSync(blake3)
          .filter((name) => name.endsWith('_x86-64_unix.S'))
          .map((name) => join(blake3, name))
      : [join(blake3, 'blake3_neon.c')];
  const parts = ['blake3.c', 'blake3_dispatch.c', 'blake3_portable.c'].map((name) => join(blake3, name));
  const program = (name: string) => join(folder, name);
  const tools = {
    limit: program('limit'),
    reads: program('reads'),
    memoryFuse: program('memory-fuse'),
    viewReads: program('view-reads'),
  };
  const flags = ['-O3', '-Wall', '-Wextra'];
  execFileSync('cc', [
    ...flags,
    `-I${blake3}`,
    '-o',
    tools.limit,
    source('limit.c'),
    ...parts,
    ...assembly,
    '-lzstd',
    '-lpthread',
  ]);
  execFileSync('cc', [...flags, '-o', tools.reads, source('reads.c')]);
  execFileSync('cc', [...flags, '-o', tools.viewReads, source('view-reads.c'), '-lpthread']);
  const fuse = ['-I/usr/include/fuse3', source('memory-fuse.c'), '-lfuse3', '-lpthread'];
  execFileSync('cc', [...flags, '-o', tools.memoryFuse, ...fuse]);
  return tools;
}

const here = () => Promise.resolve(undefined);

function limitSession(program: string, folder: string): Session {
  let made = 0;
  return {
    async backUp(path, after) {
      const id = join(folder, `backup-${made++}`);
      mkdirSync(id);
      const words = [program, 'backup', path, id];
      if (after !== undefined) words.push(after);
      const sample = await measureCommand(statSync(path).size, words);
      // Without the map: what the blocks compress to, and nothing else.
      const storedBytes = sizeOf(id) - statSync(join(id, 'map')).size;
      return { id, sample: { ...sample, storedBytes } };
    },
    restore(id, target) {
      return measureCommand(imageBytes(id), [program, 'restore', id, target]);
    },
    close: () => Promise.resolve(),
  };

  function imageBytes(id: string): number {
    return Number(readFileSync(join(id, 'map')).readBigUInt64LE(0));
  }
}

export function limit(tools: Tools): Contestant {
  return {
    name: 'limit',
    about:
      '`bench/limit.c`: read, zero test, BLAKE3 a block, dedup table, zstd level 1, packs of 32 MiB through the page cache, synced; 2 threads',
    missing: here,
    open: (folder) => Promise.resolve(limitSession(tools.limit, folder)),
  };
}

/** Only reads and hashes: what no incremental that reads everything can be faster than. */
export function readAndHash(tools: Tools): Contestant {
  return {
    name: 'hash',
    about: '`bench/limit.c`, only read, zero test and BLAKE3; 2 threads',
    missing: here,
    open: () =>
      Promise.resolve({
        async backUp(path, after) {
          if (after === undefined) return { id: 'none', sample: undefined };
          return {
            id: 'none',
            sample: await measureCommand(statSync(path).size, [tools.limit, 'hash', path]),
          };
        },
        restore: () => Promise.resolve(undefined),
        close: () => Promise.resolve(),
      }),
  };
}

/** A tool that copies a file through itself: no incremental, no verification, nothing synced. */
function filter(name: string, about: string, forth: readonly string[], back: readonly string[]): Contestant {
  return {
    name,
    about,
    missing: here,
    open: (folder) => {
      const output = join(folder, 'copy');
      let bytes = 0;
      return Promise.resolve({
        async backUp(path: string, after?: string) {
          if (after !== undefined) return undefined;
          bytes = statSync(path).size;
          const sample = await measureCommand(bytes, [...forth, path], { output });
          return { id: output, sample: { ...sample, storedBytes: statSync(output).size } };
        },
        restore: (id: string, target: string, over: boolean) =>
          measureCommand(bytes, [...back, id], { output: target, over }),
        close: () => Promise.resolve(),
      });
    },
  };
}

export const cat = filter('cat', '`cat` into a file; not synced', ['cat'], ['cat']);
export const zstd = filter(
  'zstd',
  '`zstd -1 -T0` into a file, and `zstd -d`; not synced',
  ['zstd', '-q', '-1', '-T0', '-c'],
  ['zstd', '-q', '-d', '-c'],
);
