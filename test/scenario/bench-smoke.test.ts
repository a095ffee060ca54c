/** The benchmark works from its data to its report; what it measures in this short form means nothing. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const benchMain = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'basalt-bench-smoke-'));
const [parent, out] = [join(folder, 'work-'), join(folder, 'out')];
const quiet = Object.entries(process.env).filter(([name]) => !name.startsWith('BENCH_'));

function bench(words: readonly string[], environment: Record<string, string>): Promise<unknown> {
  const env = { ...Object.fromEntries(quiet), ...environment };
  return promisify(execFile)(process.execPath, [benchMain, ...words], { env });
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a short run', () => {
  let work = '';
  beforeAll(async () => {
    work = mkdtempSync(parent);
    await bench(['--smoke', '--out', out], { BENCH_DIR: work });
  }, 400_000);

  const page = (): string => readFileSync(join(out, 'RESULTS.md'), 'utf8');
  const section = (title: string): string => page().split(`### ${title}\n`)[1]?.split('\n### ')[0] ?? '';

  test.each([
    ['Full backup', ['basalt', 'limit', 'cat']],
    ['Incremental, nothing changed', ['basalt', 'limit', 'hash']],
    ['Incremental, 1 % of the 4 KiB pages rewritten, scattered', ['basalt', 'limit', 'hash']],
    ['Incremental, 1 % of the pages rewritten, in runs of 256 KiB', ['basalt', 'limit', 'hash']],
    ['Restore to a new file', ['basalt', 'limit', 'cat']],
    ['Restore over an existing file with other contents', ['basalt', 'limit', 'cat']],
    ['15 backups at once, incompressible', ['basalt', 'limit']],
    ['15 restores at once, incompressible', ['basalt', 'limit']],
    ['Full backup of a 16 TiB sparse file', ['basalt']],
  ])('measures in the row "%s" everybody who takes part', (title, names) => {
    const lines = section(title)
      .split('\n')
      .filter((line) => /^\| [a-z]/.test(line));
    expect(lines.map((line) => line.split('|')[1]?.trim())).toEqual(names);
    for (const line of lines) {
      const [, , seconds, , speed, , , resident] = line.split('|').map((cell) => cell.trim());
      expect([seconds, speed, resident].map(Number).every((value) => value > 0)).toBe(true);
    }
  });

  test('measures the same data in volumes from 1 GiB to 1 TiB, and says what that makes of a block', () => {
    const lines = section('The same data in sparse volumes of different sizes')
      .split('\n')
      .filter((line) => line.startsWith('| basalt, '))
      .map((line) => line.split('|').map((cell) => cell.trim()));
    const sizes = ['1 GiB', '16 GiB', '256 GiB', '1 TiB'];
    const kinds = ['Full backup', 'Unchanged incremental'];
    expect(lines.map(([, title]) => title)).toEqual(
      kinds.flatMap((kind) => sizes.map((size) => `basalt, ${kind} of a sparse volume of ${size}`)),
    );
    for (const [, , data, us, ratio, cpuUs] of lines) {
      expect(Number(data)).toBe(32);
      expect([us, ratio, cpuUs].map(Number).every((value) => value > 0)).toBe(true);
    }
    expect(page()).toMatch(/sparse volume of 1 TiB ÷ of 1 GiB \| at most 1\.2 \| [\d.]+ \|/);
  });

  test('reads the mounted backup beside a program that serves memory', () => {
    const lines = section('Reading backups through their mounts')
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()));
    expect(lines.find(([, title]) => title === '')).toEqual(['', '', 'basalt', 'c-fuse', '']);
    for (const kind of ['from the memory of the server, MiB/s', '16 at a time', 'first page']) {
      const row = lines.find(([, title]) => title?.includes(kind));
      expect(Number(row?.[2])).toBeGreaterThan(0);
    }
    expect(page()).toMatch(/^\| view, first page of a file in a backup of 1 TiB, .* under 100 \| [\d.]+ \|/m);
  });

  test('says what it ran on, which seed it took, and which targets were missed', () => {
    expect(page()).toMatch(/^\| kernel \| Linux /m);
    expect(page()).toMatch(/^\| seed \| 1 \|$/m);
    expect(page()).toMatch(
      /^\| full backup, seconds: Basalt ÷ limit \| at most 1\.15 \| [\d.]+ \| (met|\*\*missed\*\*) \|$/m,
    );
  });

  test('names nothing of the machine but its kind, and draws what it refers to', () => {
    expect(page()).not.toContain(folder);
    const plots = [...page().matchAll(/\]\(([a-z-]+\.svg)\)/g)].map(([, name]) => name ?? '');
    expect(plots.length).toBeGreaterThan(3);
    expect(
      readdirSync(out)
        .filter((name) => name.endsWith('.svg'))
        .sort(),
    ).toEqual(plots.toSorted());
  });

  test('leaves nothing in the folder that it worked in', () => {
    expect(readdirSync(work)).toEqual([]);
  });
});

test('the index alone has a page of its own, and leaves the results as they are', async () => {
  const alone = join(folder, 'alone');
  await bench(['--smoke', '--out', alone], { BENCH_PARTS: 'index', BENCH_DIR: folder });
  expect(readdirSync(alone)).toEqual(['INDEX.md']);
  const printed = readFileSync(join(alone, 'INDEX.md'), 'utf8');
  expect(printed).toMatch(/^\| command \| `BENCH_PARTS=index node dist\/bench\/main\.js --smoke` \|$/m);
  expect(printed).toMatch(/^\| 20000 +\|( +[\d.]+( \([\d.]+\))? \|){8}$/m);
});

test('a part that nobody knows is refused', async () => {
  const refused = bench(['--smoke', '--out', out], { BENCH_PARTS: 'volume,nothing', BENCH_DIR: folder });
  await expect(refused).rejects.toMatchObject({ code: 64, stderr: expect.stringContaining('nothing') });
});

test('a contestant that nobody knows is refused', async () => {
  const refused = bench(['--smoke', '--out', out], { BENCH_ONLY: 'nobody', BENCH_DIR: folder });
  await expect(refused).rejects.toMatchObject({ code: 64, stderr: expect.stringContaining('nobody') });
});
