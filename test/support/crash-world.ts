/** Volumes whose daemon is killed in the middle of things, and what must be true when it is back.
 *  Promises: `check` fails on the first broken promise: an acknowledged backup that does not restore, a status that nothing will ever
 *  change, a file in the making that stays, a mount or loop device of the dead daemon. Knows nothing of when it is killed. */

import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Daemon } from './daemon.ts';
import { run } from './devices.ts';
import { firstDifference } from './volume-model.ts';

interface Known {
  readonly bytes: Buffer;
  /** The daemon said that it is available, or took the order: it must be there in the end. */
  promised: boolean;
  /** Somebody asked to delete it: it may be there or not. */
  doomed: boolean;
}

export class CrashWorld {
  readonly #daemon: Daemon;
  readonly #volumes = new Map<string, Buffer>();
  /** By id; what a backup holds is known from the moment it is asked for. */
  readonly backups = new Map<string, Known>();
  /** New files; `promised`: the daemon has taken the order, so that it must be there in the end. */
  readonly #targets = new Map<string, { bytes: Buffer; promised: boolean }>();
  /** Name of the volume with a file system. The kernel shows it in the path under a loop device even when the view has gone. */
  readonly files = `files-${randomBytes(6).toString('hex')}`;
  #number = 0;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  path(name: string): string {
    return join(this.#daemon.folder, `${name}.img`);
  }

  async addVolume(name: string, bytes: Buffer): Promise<void> {
    this.#volumes.set(name, bytes);
    writeFileSync(this.path(name), bytes);
    await this.#daemon.addVolume(name, this.path(name));
  }

  /** Writes something new to every volume. */
  change(): void {
    for (const [name, bytes] of this.#volumes) {
      if (name === this.files) continue;
      const changed = Buffer.from(bytes);
      for (let times = randomInt(1, 6); times > 0; times -= 1) {
        const length = randomInt(1, 2 * 2 ** 20);
        randomBytes(length).copy(changed, randomInt(0, changed.length - length));
      }
      this.#volumes.set(name, changed);
      writeFileSync(this.path(name), changed);
    }
  }

  get volumes(): string[] {
    return [...this.#volumes.keys()];
  }

  anyAvailable(): string | undefined {
    const ids = [...this.backups].filter(([, known]) => known.promised && !known.doomed);
    return ids.length === 0 ? undefined : ids[randomInt(ids.length)]?.[0];
  }

  async backUp(volume: string, incremental: boolean): Promise<string> {
    const bytes = this.#volumes.get(volume);
    if (bytes === undefined) throw new Error(`no volume ${volume}`);
    const { backup, job_id } = await this.#daemon.call('backup.create', { volume, incremental });
    const known: Known = { bytes, promised: true, doomed: false };
    this.backups.set(backup.id, known);
    const job = await this.#daemon.ended(job_id);
    expect(job).toMatchObject({ status: 'done', fault: null });
    return backup.id;
  }

  async delete(id: string): Promise<void> {
    const known = this.backups.get(id);
    if (known !== undefined) known.doomed = true;
    await this.#daemon.done(this.#daemon.call('backup.delete', { backup: id }));
    this.backups.delete(id);
  }

  async restore(id: string, existing: boolean): Promise<void> {
    const bytes = this.backups.get(id)?.bytes;
    if (bytes === undefined) throw new Error(`no backup ${id}`);
    this.#number += 1;
    const target = join(this.#daemon.folder, `restored-${this.#number}.out`);
    if (existing) writeFileSync(target, randomBytes(bytes.length));
    else this.#targets.set(target, { bytes, promised: false });
    const started = await this.#daemon.call('backup.restore', { backup: id, target, force: existing });
    this.#targets.set(target, { bytes, promised: true });
    await this.#daemon.done(started);
  }

  /** Temporary: a start after a crash finds nothing mounted. */
  async mount(id: string, kernel: boolean): Promise<string> {
    this.#number += 1;
    const directory = join(this.#daemon.folder, `mount-${this.#number}`);
    mkdirSync(directory);
    await this.#daemon.done(this.#daemon.call('mount', { backup: id, directory, kernel, temporary: true }));
    return directory;
  }

  /** After a start: what was begun goes on by itself, and then everything is as it was promised. */
  async check(): Promise<void> {
    for (const { id } of (await this.#daemon.call('job.list', { active: true })).jobs)
      await this.#daemon.ended(id);
    expect(this.#daemon.mounts()).toEqual([this.#daemon.viewDir]);
    expect(this.#daemon.loopDevices()).toEqual([]);
    expect(run('losetup', '--list', '--noheadings', '--output', 'BACK-FILE')).not.toContain(this.files);
    expect(readdirSync(this.#daemon.folder).filter((name) => name.endsWith('.partial'))).toEqual([]);
    expect((await this.#daemon.call('job.list', { active: true })).jobs).toEqual([]);
    expect((await this.#daemon.call('view.list', {})).mounts).toEqual([]);
    const { volumes } = await this.#daemon.call('volume.list', {});
    for (const volume of volumes) expect(volume).toMatchObject({ status: 'available' });
    this.#checkTargets();
    await this.#checkRecords();
  }

  #checkTargets(): void {
    for (const [target, { bytes, promised }] of this.#targets) {
      if (!existsSync(target)) expect(promised).toBe(false);
      else expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
      rmSync(target, { force: true });
    }
    this.#targets.clear();
    for (const name of readdirSync(this.#daemon.folder)) {
      if (name.endsWith('.out')) rmSync(join(this.#daemon.folder, name));
      else if (name.startsWith('mount-')) rmSync(join(this.#daemon.folder, name), { recursive: true });
    }
  }

  async #checkRecords(): Promise<void> {
    const { backups } = await this.#daemon.call('backup.list', {});
    const found = new Map(backups.map((backup) => [backup.id, backup]));
    for (const [id, known] of Array.from(this.backups)) {
      const record = found.get(id);
      if (known.promised && !known.doomed) expect(record).toMatchObject({ status: 'available' });
      if (record === undefined) this.backups.delete(id);
    }
    for (const { id, status, volume_name } of backups) {
      expect(status).toBe('available');
      // The daemon was killed after it had recorded the order, and before it could answer.
      const bytes = this.#volumes.get(volume_name);
      if (bytes !== undefined && !this.backups.has(id))
        this.backups.set(id, { bytes, promised: true, doomed: false });
    }
    for (const known of this.backups.values()) known.doomed = false;
  }

  /** Restores a backup to a new file and compares. */
  async compare(id: string): Promise<void> {
    const bytes = this.backups.get(id)?.bytes;
    if (bytes === undefined) throw new Error(`no backup ${id}`);
    const target = join(this.#daemon.folder, 'compared.out');
    await this.#daemon.done(this.#daemon.call('backup.restore', { backup: id, target }));
    expect(firstDifference(readFileSync(target), bytes)).toBe(-1);
    rmSync(target);
  }

  async checkRepository(): Promise<void> {
    const { result } = await this.#daemon.done(this.#daemon.call('repository.check', { read_data: true }));
    expect(result).toMatchObject({ damaged_backups_count: 0, damaged_manifests: [], damaged_packs: [] });
  }
}

/** An ext4 file system with one file in it, as bytes. */
export function ext4Bytes(folder: string): Buffer {
  const [image, files] = [join(folder, 'files-source.img'), join(folder, 'files-source')];
  mkdirSync(files);
  writeFileSync(join(files, 'hello'), 'hello from the past\n');
  writeFileSync(join(files, 'noise'), randomBytes(3 * 2 ** 20));
  run('truncate', '--size', '16M', image);
  run('mkfs.ext4', '-q', '-F', '-d', files, image);
  const bytes = readFileSync(image);
  rmSync(image);
  rmSync(files, { recursive: true });
  return bytes;
}
