/** Other backup programs of Debian, each set up as its own documents advise for disk images. They are programs of their
 *  own here: what is not installed is named as absent. */

import { randomUUID } from 'node:crypto';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measure, measureCommand, run } from '../measure/measure.ts';
import type { Sample } from '../measure/sample.ts';
import { type Contestant, withGrowth } from './contestant.ts';
import { serveMount } from './mounted.ts';

const cinderDriver = fileURLToPath(new URL('../../../bench/peers/cinder_driver.py', import.meta.url));

const needs = (words: readonly string[], debianPackage: string) => () =>
  run(words).then(
    () => undefined,
    () => `absent, not installed: apt-get install ${debianPackage} (make bench-peers)`,
  );

/** The last line that the harness prints has the figures of the driver's call alone. */
async function measureDriver(bytes: number, words: readonly string[]): Promise<Sample> {
  let printed = '';
  const sample = await measure(bytes, [], async (started) => {
    printed = await run(['/usr/bin/python3', cinderDriver, ...words], { started });
  });
  const call = JSON.parse(printed.trim().split('\n').at(-1) ?? '') as {
    seconds: number;
    cpu_seconds: number;
  };
  return { ...sample, seconds: call.seconds, cpuSeconds: call.cpu_seconds };
}

export function cinder(algorithm: 'zlib' | 'zstd' | 'none'): Contestant {
  return {
    name: `cinder-${algorithm}`,
    about: `Cinder's own POSIX driver with \`backup_compression_algorithm = ${algorithm}\`, else its defaults; the driver's call alone, without the start of Python; backups not synced`,
    missing: needs(['/usr/bin/python3', '-c', 'import cinder.backup.drivers.posix'], 'python3-cinder'),
    open: (folder) => {
      const repository = join(folder, 'repository');
      mkdirSync(repository);
      let bytes = 0;
      return Promise.resolve({
        async backUp(path: string, after?: string) {
          const id = randomUUID();
          bytes = statSync(path).size;
          const words = ['backup', repository, path, id, algorithm, ...(after === undefined ? [] : [after])];
          return { id, sample: await withGrowth(repository, () => measureDriver(bytes, words)) };
        },
        restore: (id: string, target: string, over: boolean) =>
          measureDriver(bytes, ['restore', repository, id, target, over ? 'over' : 'new']),
        close: () => Promise.resolve(),
      });
    },
  };
}

export const restic: Contestant = {
  name: 'restic',
  about:
    '`restic backup --stdin` of the image, and `restic dump`; its own defaults (version 2 repository, compression auto)',
  missing: needs(['restic', 'version'], 'restic'),
  async open(folder) {
    const repository = join(folder, 'repository');
    mkdirSync(repository);
    const environment = {
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD: 'bench',
      RESTIC_CACHE_DIR: join(folder, 'cache'),
    };
    await run(['restic', 'init', '-q', '--repository-version', '2'], { environment });
    let bytes = 0;
    return {
      async backUp(path, after) {
        bytes = statSync(path).size;
        const tag = randomUUID();
        const words = ['restic', 'backup', '-q', '--stdin', '--stdin-filename', 'volume.img', '--tag', tag];
        if (after !== undefined) words.push('--parent', await snapshotOf(after));
        const sample = await withGrowth(repository, () =>
          measureCommand(bytes, words, { environment, input: path }),
        );
        return { id: tag, sample };
      },
      async restore(id, target, over) {
        const words = ['restic', 'dump', '-q', await snapshotOf(id), 'volume.img'];
        return measureCommand(bytes, words, { environment, output: target, over });
      },
      mount: (id, at) => {
        const image = join(at, 'tags', id, 'latest', 'volume.img');
        return serveMount(['restic', 'mount', '-q', at], at, image, environment);
      },
      close: () => Promise.resolve(),
    };

    async function snapshotOf(tag: string): Promise<string> {
      const printed = await run(['restic', 'snapshots', '-q', '--json', '--tag', tag], { environment });
      return (JSON.parse(printed) as { id: string }[])[0]?.id ?? '';
    }
  },
};

export const borg: Contestant = {
  name: 'borg',
  about:
    '`borg create --compression zstd,1 --chunker-params fixed,4194304` (its advice for disk images) from stdin, without encryption, and `borg extract --stdout`',
  missing: needs(['borg', '--version'], 'borgbackup'),
  async open(folder) {
    const repository = join(folder, 'repository');
    const environment = {
      BORG_REPO: repository,
      BORG_BASE_DIR: join(folder, 'base'),
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    };
    await run(['borg', 'init', '--encryption', 'none'], { environment });
    let bytes = 0;
    return {
      async backUp(path) {
        bytes = statSync(path).size;
        const id = randomUUID();
        const words = ['borg', 'create', '--compression', 'zstd,1', '--chunker-params', 'fixed,4194304'];
        const sample = await withGrowth(repository, () =>
          measureCommand(bytes, [...words, `::${id}`, '-'], { environment, input: path }),
        );
        return { id, sample };
      },
      restore: (id, target, over) =>
        measureCommand(bytes, ['borg', 'extract', '--stdout', `::${id}`], {
          environment,
          output: target,
          over,
        }),
      mount: (id, at) =>
        serveMount(['borg', 'mount', '--foreground', `::${id}`, at], at, join(at, 'stdin'), environment),
      close: () => Promise.resolve(),
    };
  },
};
