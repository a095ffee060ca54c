import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GiB, MiB } from '../../../daemon/base/bytes.ts';
import { controlGroupMemory } from '../../../daemon/config/control-group.ts';

function groupsWith(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'basalt-groups-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test('the smallest limit counts, of the group itself or of one around it', async () => {
  const root = groupsWith({
    'backup.slice/memory.max': `${300 * MiB}\n`,
    'backup.slice/basaltd.service/memory.max': 'max\n',
    'backup.slice/small.service/memory.max': `${200 * MiB}\n`,
  });
  expect(await controlGroupMemory('0::/backup.slice/basaltd.service\n', root)).toBe(300 * MiB);
  expect(await controlGroupMemory('0::/backup.slice/small.service\n', root)).toBe(200 * MiB);
  // Beyond it the kernel slows a group down.
  writeFileSync(join(root, 'backup.slice/small.service/memory.high'), `${150 * MiB}\n`);
  expect(await controlGroupMemory('0::/backup.slice/small.service\n', root)).toBe(150 * MiB);
  expect(await controlGroupMemory('0::/user.slice\n', root)).toBe(Number.POSITIVE_INFINITY);
});

test('the first version of control groups, where the path is in a tree of its own', async () => {
  const root = groupsWith({
    'memory/memory.limit_in_bytes': '9223372036854771712\n',
    'memory/a/memory.limit_in_bytes': `${2 * GiB}\n`,
    'memory/a/b/memory.limit_in_bytes': '9223372036854771712\n',
  });
  expect(await controlGroupMemory('5:cpu:/other\n4:memory:/a/b\n0::/\n', root)).toBe(2 * GiB);
});

test('where nothing can be read nothing is limited', async () => {
  expect(await controlGroupMemory('', '/nowhere')).toBe(Number.POSITIVE_INFINITY);
  expect(await controlGroupMemory('nonsense\n0::', '/nowhere')).toBe(Number.POSITIVE_INFINITY);
});
