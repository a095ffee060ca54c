/** Who sees what of the view: local users, on a real daemon and a real mount. */

import { execFile } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { noise } from '../support/volume-model.ts';

const MiB = 2 ** 20;
const [alphaUser, betaUser, betaGroup, nobody] = [70_001, 70_002, 70_102, 70_003];
const grants = `project_grants = ["uid:${alphaUser}=alpha", "gid:${betaGroup}=beta"]`;
const run = promisify(execFile);

/** What a command says that `uid` runs: its output, or the end of its complaint. */
async function as(uid: number, gid: number, program: string, ...words: string[]): Promise<string> {
  const who = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--'];
  return run('setpriv', [...who, program, ...words], {
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  }).then(
    ({ stdout }) => stdout.trim(),
    (thrown: { stderr?: string }) => (thrown.stderr ?? 'it cannot be run').trim().split(': ').at(-1) ?? '',
  );
}

async function worldOf(settings: string): Promise<Daemon> {
  const daemon = await Daemon.start({ settings });
  for (const folder of [daemon.folder, daemon.stateDir]) chmodSync(folder, 0o755);
  for (const project of ['alpha', 'beta']) {
    const source = join(daemon.folder, `${project}.img`);
    writeFileSync(source, noise(MiB, project.length));
    // The same name in both.
    await daemon.call('volume.add', { name: 'data', source, project });
    const started = await daemon.call('backup.create', { volume: 'data', project });
    await daemon.call('job.watch', { job: started.job_id, project });
  }
  return daemon;
}

describe('with view_allow_other', () => {
  let daemon: Daemon;
  /** As root sees it. */
  const paths: Record<string, string> = {};

  beforeAll(async () => {
    daemon = await worldOf(`view_allow_other = true\n${grants}\n`);
    for (const project of ['alpha', 'beta']) {
      const [backup] = (await daemon.call('backup.list', { project })).backups;
      if (backup === undefined) throw new Error('there is no backup');
      paths[project] = dirname(await daemon.imageOf(backup));
    }
  });
  afterAll(() => daemon.dispose());

  test('each user sees the volumes of his projects, and root all', async () => {
    const volumes = readdirSync(daemon.viewDir).filter((name) => name !== 'by-time');
    expect(volumes).toHaveLength(2);
    expect(await as(alphaUser, alphaUser, 'ls', daemon.viewDir)).toBe('by-time\ndata');
    expect(await as(nobody, betaGroup, 'ls', daemon.viewDir)).toBe('by-time\ndata');
    expect(await as(nobody, nobody, 'ls', daemon.viewDir)).toBe('by-time');
    expect(await as(nobody, nobody, 'ls', join(daemon.viewDir, 'by-time'))).toBe('');
  });

  test('the same name leads each user to his own volume, however they take turns', async () => {
    const image = (project: string) =>
      join(daemon.viewDir, 'data', basename(paths[project] ?? ''), 'volume.img');
    const sumOf = async (uid: number, gid: number, project: string) =>
      (await as(
        uid,
        gid,
        'cmp',
        '-n',
        String(MiB),
        image(project),
        join(daemon.folder, `${project}.img`),
      )) === '';
    for (let turn = 0; turn < 4; turn += 1) {
      expect(await sumOf(alphaUser, alphaUser, 'alpha')).toBe(true);
      expect(await sumOf(nobody, betaGroup, 'beta')).toBe(true);
      expect(await as(alphaUser, alphaUser, 'stat', image('beta'))).toBe('No such file or directory');
      expect(await as(nobody, betaGroup, 'stat', image('alpha'))).toBe('No such file or directory');
    }
    const many = Array.from({ length: 24 }, (_, at) =>
      at % 2 === 0 ? sumOf(alphaUser, alphaUser, 'alpha') : sumOf(nobody, betaGroup, 'beta'),
    );
    expect(new Set(await Promise.all(many))).toEqual(new Set([true]));
  });

  test('what root has looked at a moment ago is not there for who may not see it', async () => {
    for (const path of [paths['alpha'] ?? '', dirname(paths['alpha'] ?? '')]) {
      for (const tail of ['', 'manifest.json', 'volume.img', 'partitions']) {
        const whole = join(path, tail);
        // The kernel knows it now.
        if (path !== dirname(paths['alpha'] ?? '') || tail === '') statSync(whole);
        for (const program of ['stat', 'cat', 'ls', 'getfattr'])
          expect(await as(betaUser, betaGroup, program, whole)).toMatch(/No such file or directory$/);
      }
    }
    const time = readdirSync(join(daemon.viewDir, 'by-time'));
    expect(time).toHaveLength(2);
    for (const name of time) {
      readFileSync(join(daemon.viewDir, 'by-time', name, 'manifest.json'));
      const seen = await as(nobody, nobody, 'stat', join(daemon.viewDir, 'by-time', name));
      expect(seen).toBe('No such file or directory');
    }
    const [own] = (await as(alphaUser, alphaUser, 'ls', join(daemon.viewDir, 'by-time'))).split('\n');
    expect(own).toMatch(/Z@data$/);
    expect(await as(alphaUser, alphaUser, 'ls', `${join(daemon.viewDir, 'by-time', own ?? '')}/`)).toContain(
      'volume.img',
    );
  });

  test('a folder that a user was handed does not show him what he may not see', async () => {
    const folder = paths['alpha'] ?? '';
    // Changes into it as root, then becomes the user.
    const inside = async (...words: string[]) =>
      run(
        'sh',
        [
          '-c',
          `cd '${folder}' && exec setpriv --reuid=${nobody} --regid=${nobody} --clear-groups -- "$@"`,
          'sh',
          ...words,
        ],
        {
          env: { PATH: process.env['PATH'], LC_ALL: 'C' },
        },
      ).then(
        () => 'fine',
        (thrown: { stderr: string }) => thrown.stderr,
      );
    statSync(join(folder, 'volume.img'));
    expect(await inside('ls', '.')).toMatch(/Permission denied/);
    expect(await inside('head', '-c1', 'volume.img')).toMatch(/Permission denied/);
    expect(await inside('head', '-c1', 'manifest.json')).toMatch(/Permission denied/);
    expect(await inside('getfattr', '-n', 'user.basalt.id', '.')).toMatch(/Permission denied/);
  });
});

test('without it nobody but root is let in', async () => {
  const daemon = await worldOf(`${grants}\n`);
  try {
    expect(await as(alphaUser, alphaUser, 'ls', daemon.viewDir)).toBe('Permission denied');
    expect(readdirSync(daemon.viewDir)).toHaveLength(3);
  } finally {
    await daemon.dispose();
  }
});

test('with view_owners = "caller" each user owns what he sees', async () => {
  const daemon = await worldOf(`view_allow_other = true\nview_owners = "caller"\n${grants}\n`);
  try {
    const owner = (uid: number, gid: number) =>
      as(uid, gid, 'stat', '-c', '%u:%g %A', join(daemon.viewDir, 'data'));
    expect(await owner(alphaUser, alphaUser)).toBe(`${alphaUser}:${alphaUser} dr-xr-xr-x`);
    expect(await owner(nobody, betaGroup)).toBe(`${nobody}:${betaGroup} dr-xr-xr-x`);
    expect(statSync(daemon.viewDir).uid).toBe(0);
    expect(await owner(alphaUser, alphaUser)).toBe(`${alphaUser}:${alphaUser} dr-xr-xr-x`);
  } finally {
    await daemon.dispose();
  }
});
