/** Folders that FAT and exFAT can hold, and the comparison of what a reader shows with them. */

import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Reader } from '../../daemon/view/browse/reader.ts';
import { filesIn, findIn } from './reader-images.ts';
import { expected } from './view-source.ts';

const names = [
  'UPPER.TXT',
  'lower.txt',
  'Mixed.Txt',
  'NOSUFFIX',
  '12345678.123',
  'with several. dots and  blanks.text',
  '.hidden',
  'a+b,c;d=[e]',
  'ünïcödé – 漢字.txt',
  `${'n'.repeat(251)}.txt`,
  '漢'.repeat(80),
];

/** Names of all kinds, a deep tree, a folder of `many` files, and files around the sizes of clusters. */
export function fillForFat(folder: string, many: number): void {
  for (const [at, name] of names.entries()) writeFileSync(join(folder, name), expected(at, 0, at * 100));
  const deep = join(folder, ...Array.from({ length: 12 }, (_, level) => `level ${level}`));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, 'deepest'), 'here');
  mkdirSync(join(folder, 'empty folder'));
  mkdirSync(join(folder, 'many'));
  for (let file = 0; file < many; file++)
    writeFileSync(join(folder, 'many', `file ${file} ${'x'.repeat(1 + (file % 40))}`), String(file));
  for (const size of [0, 1, 511, 512, 513, 4096, 65_535, 65_536, 400_001])
    writeFileSync(join(folder, `of ${size}`), expected(size % 89, 0, size));
  // What FAT can say of a time: two seconds, from 1980 on.
  const times = [315_532_800, 951_782_400, 1_709_164_798, 1_709_251_200, 2_147_483_648, 4_354_819_198];
  for (const [at, seconds] of times.entries()) {
    const path = join(folder, `at ${seconds}`);
    writeFileSync(path, String(at));
    utimesSync(path, seconds, seconds);
  }
}

export async function contentOf(
  reader: Reader,
  node: number,
  sizeBytes: number,
  step: number,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < sizeBytes; offset += step)
    pieces.push(await reader.call({ operation: 'read', node, offset, length: Math.min(step, 2 ** 20) }));
  return Buffer.concat(pieces);
}

/** What differs between a folder and what a reader shows, as sentences. `granularity`: of times, in seconds. */
export async function differencesFromFolder(
  reader: Reader,
  folder: string,
  granularity: number,
): Promise<string[]> {
  const wrong: string[] = [];
  const nodes = new Set<number>([reader.description.root]);
  const walk = async (node: number, path: string): Promise<void> => {
    const files = await filesIn(reader, node);
    const shown = files.map(({ name }) => name.toString()).sort();
    const there = readdirSync(path).sort();
    if (shown.join('\n') !== there.join('\n'))
      wrong.push(`names in "${path}": ${shown.join()}, not ${there.join()}`);
    for (const { name, attributes } of files) {
      const whole = join(path, name.toString());
      const source = statSync(whole, { throwIfNoEntry: false });
      if (source === undefined) continue;
      if (nodes.has(attributes.node)) wrong.push(`a node that is not its own: "${whole}"`);
      nodes.add(attributes.node);
      if (nodes.size < 200 && JSON.stringify(await findIn(reader, node, name)) !== JSON.stringify(attributes))
        wrong.push(`what is found of "${whole}"`);
      const mode = source.isDirectory() ? 0o040755 : 0o100755;
      if (attributes.mode !== mode) wrong.push(`mode of "${whole}": ${attributes.mode.toString(8)}`);
      if (source.isDirectory()) {
        await walk(attributes.node, whole);
        continue;
      }
      const seconds = Math.floor(source.mtimeMs / 1000 / granularity) * granularity;
      if (attributes.modified.seconds !== seconds)
        wrong.push(`time of "${whole}": ${attributes.modified.seconds}, not ${seconds}`);
      if (attributes.sizeBytes !== source.size) wrong.push(`size of "${whole}"`);
      const content = await contentOf(reader, attributes.node, attributes.sizeBytes, 50_000);
      if (!content.equals(readFileSync(whole))) wrong.push(`content of "${whole}"`);
    }
  };
  await walk(reader.description.root, folder);
  return wrong;
}
