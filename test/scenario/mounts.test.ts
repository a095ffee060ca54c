/** What `basaltctl mount` makes, in good times and bad, of a real daemon. BASALT_MOUNT_ROUNDS: how many mounts and unmounts. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { BackupValue, JobValue, MountValue } from '../../daemon/protocol/values.ts';
import { ext4Bytes } from '../support/crash-world.ts';
import { Daemon, eventually } from '../support/daemon.ts';
import { run } from '../support/devices.ts';
import { clientOf, Listener } from '../support/users.ts';

const hello = 'hello from the past\n';
const rounds = Number(process.env['BASALT_MOUNT_ROUNDS'] ?? 25);

let daemon: Daemon;
let backup: BackupValue;

async function world(settings = ''): Promise<void> {
  daemon = await Daemon.start({ settings });
  const source = join(daemon.folder, 'disk.img');
  writeFileSync(source, ext4Bytes(daemon.folder));
  await daemon.addVolume('disk', source);
  backup = await daemon.backUp('disk');
}

let number = 0;
function folder(): string {
  number += 1;
  const directory = join(daemon.folder, `mount-${number}`);
  mkdirSync(directory);
  return directory;
}

interface Wish {
  readonly kernel?: boolean;
  readonly temporary?: boolean;
}

async function mount(wish: Wish, directory = folder()): Promise<string> {
  await daemon.done(daemon.call('mount', { backup: backup.id, directory, ...wish }));
  expect(readFileSync(join(directory, 'hello'), 'utf8')).toBe(hello);
  return directory;
}

const unmount = async (directory: string, lazy = false): Promise<JobValue> =>
  daemon.ended((await daemon.call('unmount', { directory, lazy })).job_id);

const listed = async (): Promise<MountValue[]> => (await daemon.call('view.list', {})).mounts;
const hasHello = (directory: string) => () => {
  try {
    return readFileSync(join(directory, 'hello'), 'utf8') === hello;
  } catch {
    return false;
  }
};

const descriptors = (): number => readdirSync(`/proc/${daemon.pid}/fd`).length;
const residentKiB = (): number =>
  Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]);

describe.each([{ kernel: true }, { kernel: false }])('mounted with %o', (wish) => {
  beforeAll(() => world());
  afterAll(() => daemon.dispose());
  afterEach(async () => {
    for (const { directory } of await listed()) await unmount(directory, true);
    expect(daemon.mounts()).toEqual([daemon.viewDir]);
    await eventually('loop devices are gone', () => daemon.loopDevices().length === 0);
  });

  test('it is read-only, nosuid, nodev and noexec, and its journal is left alone', async () => {
    const directory = await mount(wish);
    const options = run('findmnt', '--noheadings', '--output', 'VFS-OPTIONS,FS-OPTIONS', directory).split(
      /[\s,]+/,
    );
    expect(options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']));
    if (wish.kernel) expect(options).toContain('norecovery');
    expect(() => writeFileSync(join(directory, 'new'), '')).toThrow('EROFS');
    expect(await listed()).toMatchObject([
      {
        directory,
        kind: wish.kernel ? 'kernel' : 'files',
        status: 'mounted',
        temporary: false,
        file_system: 'ext4',
      },
    ]);
  });

  test('while it is used it stays, and who asked is told by whom; lazily it goes', async () => {
    const directory = await mount(wish);
    const user = spawn('sh', ['-c', 'exec 3<hello; echo; exec sleep 60'], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      await once(user.stdout, 'data');
      const { fault } = await unmount(directory);
      expect(fault).toMatchObject({ code: 'MOUNT_BUSY', hint: expect.stringContaining('--lazy') });
      expect(fault?.message).toContain(
        `process ${user.pid} "sleep" (working folder "${directory}", open "${directory}/hello")`,
      );
      expect(hasHello(directory)()).toBe(true);
      expect((await unmount(directory, true)).status).toBe('done');
      expect(daemon.mounts()).toEqual([daemon.viewDir]);
      expect(await listed()).toEqual([]);
      // What has it open still reads what is right.
      expect(run('cat', `/proc/${user.pid}/fd/3`)).toBe(hello.trim());
    } finally {
      const ended = once(user, 'exit');
      user.kill('SIGKILL');
      await ended;
    }
  });

  test('its backup can not be deleted', async () => {
    const directory = await mount(wish);
    await expect(daemon.call('backup.delete', { backup: backup.id })).rejects.toThrow(
      `mounted at "${directory}"`,
    );
    expect(hasHello(directory)()).toBe(true);
  });

  test('it comes back with the next daemon, also where the last one was killed while somebody read', async () => {
    const [kept, gone] = [await mount(wish), await mount({ ...wish, temporary: true })];
    const reader = spawn('sh', ['-c', 'exec 3<noise; echo; while sleep 0.05; do cat <&3 >/dev/null; done'], {
      cwd: kept,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      await once(reader.stdout, 'data');
      const t0 = Date.now();
      await daemon.kill();
      console.log('killed', Date.now() - t0);
      await daemon.start();
      console.log('started', Date.now() - t0);
      await eventually('it is back', hasHello(kept));
      console.log('back', Date.now() - t0, daemon.log.split('\n').slice(-8).join('\n'));
      expect(readdirSync(gone)).toEqual([]);
      expect(await listed()).toMatchObject([{ directory: kept, status: 'mounted', temporary: false }]);
    } finally {
      const ended = once(reader, 'exit');
      reader.kill('SIGKILL');
      await ended;
    }
    await daemon.stop();
    expect(daemon.mounts()).toEqual([]);
    await daemon.start();
    expect(hasHello(kept)()).toBe(true);
    await unmount(kept);
    await daemon.stop();
    await daemon.start();
    expect(daemon.mounts()).toEqual([daemon.viewDir]);
  });

  test('where it can not come back it waits, and says why, until it can', async () => {
    const directory = await mount(wish);
    await daemon.stop();
    renameSync(directory, `${directory}.away`);
    await daemon.start();
    expect(await listed()).toMatchObject([
      { directory, status: 'waiting', wait_reason: expect.stringContaining(directory) },
    ]);
    renameSync(`${directory}.away`, directory);
    await eventually('it is back', hasHello(directory));
    await eventually('the list says so', async () => (await listed())[0]?.status === 'mounted');
  });

  test('one that somebody has unmounted past the daemon is told to be gone, and can be unmounted', async () => {
    const directory = await mount(wish);
    run('umount', directory);
    expect(await listed()).toMatchObject([{ directory, status: 'gone' }]);
    expect((await unmount(directory)).status).toBe('done');
    expect(await listed()).toEqual([]);
  });

  test('one that waits can be unmounted', async () => {
    const directory = await mount(wish);
    await daemon.stop();
    writeFileSync(join(directory, 'in the way'), '');
    await daemon.start();
    expect(await listed()).toMatchObject([{ status: 'waiting' }]);
    expect((await unmount(directory)).status).toBe('done');
    expect(await listed()).toEqual([]);
  });

  test(
    `${rounds} mounts and unmounts leave nothing behind`,
    async () => {
      const directory = folder();
      const round = async () => {
        await mount(wish, directory);
        expect((await unmount(directory)).status).toBe('done');
      };
      for (let warm = 0; warm < 3; warm += 1) await round();
      const [before, beforeKiB] = [descriptors(), residentKiB()];
      for (let at = 0; at < rounds; at += 1) await round();
      expect(await listed()).toEqual([]);
      expect(daemon.mounts()).toEqual([daemon.viewDir]);
      await eventually('descriptors are closed', () => descriptors() <= before);
      if (rounds > 100)
        console.log(`${rounds} rounds: ${before} descriptors, ${beforeKiB} then ${residentKiB()} KiB`);
    },
    60_000 + rounds * 1000,
  );
});

describe('users', () => {
  const [user, stranger] = [70_011, 70_012];
  const grant = `project_grants = ["uid:${user}=default"]\n`;
  afterEach(() => daemon.dispose());

  /** Mounts at a folder of the user, as he. */
  async function ask(order: Wish): Promise<{ directory: string; code: unknown; jobId: string }> {
    const directory = folder();
    run('chown', String(user), directory);
    const client = await clientOf(daemon, user);
    const answer = await new Listener(client).ask('mount', {
      backup: backup.id,
      directory,
      ...order,
      project: 'default',
    });
    client.close();
    const { job_id: jobId = '' } = (answer.result ?? {}) as { job_id?: string };
    return { directory, code: (answer.error as { code: string } | undefined)?.code, jobId };
  }
  const as = (uid: number, ...words: string[]): string => {
    try {
      return run('setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--', ...words);
    } catch (thrown) {
      return (thrown as { stderr: string }).stderr.trim().split(': ').at(-1) ?? '';
    }
  };

  test('the kernel mounts for administrators only', async () => {
    await world(`view_allow_other = true\n${grant}`);
    expect((await ask({ kernel: true })).code).toBe('NOT_PERMITTED');
    expect(daemon.mounts()).toEqual([daemon.viewDir]);
  });

  test('who may see the backup mounts it at a folder of his own, and who may not sees nothing there', async () => {
    await world(`view_allow_other = true\nview_owners = "caller"\n${grant}`);
    const { directory, jobId } = await ask({});
    expect((await daemon.ended(jobId)).status).toBe('done');
    expect(as(user, 'cat', `${directory}/hello`)).toBe(hello.trim());
    // His as long as he looks, and root's when root does.
    const owners = () => [
      as(user, 'stat', '-c', '%u', `${directory}/hello`),
      run('stat', '-c', '%u', `${directory}/hello`),
    ];
    expect([owners(), owners()]).toEqual([
      [String(user), '0'],
      [String(user), '0'],
    ]);
    expect(as(stranger, 'ls', directory)).toBe('Permission denied');
    expect(as(stranger, 'cat', `${directory}/hello`)).toBe('Permission denied');
    expect((await unmount(directory)).status).toBe('done');
  });

  test('where the view lets in nobody but root, others have nothing mounted that they could not look into', async () => {
    await world(grant);
    expect((await ask({})).code).toBe('NOT_PERMITTED');
  });
});
