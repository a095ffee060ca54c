/** A volume, its backups, and what they must hold: operations on a real daemon beside a model in memory.
 *  Promises: an operation that does not apply does nothing, so that a failing sequence can be made shorter; every check is byte by
 *  byte. Numbers in operations are taken modulo what there is. Knows nothing of how operations are chosen. */

import { createCipheriv } from 'node:crypto';
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { BackupValue } from '../../daemon/protocol/values.ts';
import type { Daemon } from './daemon.ts';
import { readFully, run } from './devices.ts';

export const volumeBytesMax = 24 * 2 ** 20;
const blockBytes = 65536;

export type Operation =
  | { kind: 'write'; at: number; length: number; content: 'random' | 'text' | 'zeros' | 'copy'; seed: number }
  | { kind: 'punch'; at: number; length: number }
  | { kind: 'resize'; size: number }
  | { kind: 'backup'; incremental: boolean; hinted?: boolean }
  | { kind: 'delete'; which: number }
  | {
      kind: 'restore';
      which: number;
      how: 'new' | 'file' | 'loop';
      differential: boolean;
      tail: number;
      seed: number;
    }
  | { kind: 'view'; which: number; at: number; length: number }
  | { kind: 'diff'; which: number; other: number }
  | { kind: 'verify'; which: number }
  | { kind: 'restart'; how: 'stop' | 'kill' | 'lose catalog' };

interface Point {
  readonly backup: BackupValue;
  readonly bytes: Buffer;
}

/** The same bytes for the same seed: a key stream. */
export function noise(length: number, seed: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed >>> 0);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Where two buffers differ first; -1 where nowhere. Names a byte, which two long buffers in a message would not. */
export function firstDifference(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return -1;
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) if (a[at] !== b[at]) return at;
  return length;
}

const within = (number: number, length: number): number => (length === 0 ? 0 : number % length);

export class VolumeModel {
  readonly #daemon: Daemon;
  readonly name: string;
  readonly #source: string;
  #bytes: Buffer;
  #points: Point[] = [];
  #files = 0;

  constructor(daemon: Daemon, name: string, sizeBytes: number) {
    this.#daemon = daemon;
    this.name = name;
    this.#source = join(daemon.folder, `${name}.img`);
    this.#bytes = Buffer.alloc(sizeBytes);
    writeFileSync(this.#source, '');
    truncateSync(this.#source, sizeBytes);
  }

  async begin(): Promise<void> {
    await this.#daemon.addVolume(this.name, this.#source);
  }

  /** Restores everything that is left once more, and forgets the volume. */
  async end(): Promise<void> {
    for (const which of this.#points.keys()) {
      await this.apply({ kind: 'restore', which, how: 'new', differential: false, tail: 0, seed: 0 });
    }
    for (const { backup } of this.#points) {
      await this.#daemon.done(this.#daemon.call('backup.delete', { backup: backup.id }));
    }
    await this.#daemon.call('volume.remove', { volume: this.name });
    rmSync(this.#source);
  }

  async apply(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case 'write':
        return this.#write(operation);
      case 'punch':
        return this.#punch(operation);
      case 'resize':
        return this.#resize(operation.size);
      case 'backup':
        return this.#backUp(operation.incremental, operation.hinted === true);
      case 'restart':
        return this.#restart(operation.how);
      case 'delete':
      case 'restore':
      case 'view':
      case 'diff':
      case 'verify': {
        const point = this.#points[within(operation.which, this.#points.length)];
        if (point !== undefined) await this.#withPoint(operation, point);
      }
    }
  }

  async #withPoint(operation: Extract<Operation, { which: number }>, point: Point): Promise<void> {
    const { id } = point.backup;
    switch (operation.kind) {
      case 'delete':
        await this.#daemon.done(this.#daemon.call('backup.delete', { backup: id }));
        this.#points = this.#points.filter((other) => other !== point);
        return;
      case 'verify': {
        const { result } = await this.#daemon.done(this.#daemon.call('backup.verify', { backup: id }));
        expect(result).toMatchObject({ verified_bytes: point.bytes.length, damaged_bytes: 0 });
        return;
      }
      case 'restore':
        return this.#restore(point, operation);
      case 'view':
        return this.#readView(point, operation);
      case 'diff': {
        const other = this.#points[within(operation.other, this.#points.length)];
        if (other !== undefined) await this.#diff(point, other);
      }
    }
  }

  #write(operation: Extract<Operation, { kind: 'write' }>): void {
    const at = within(operation.at, this.#bytes.length);
    const length = Math.min(operation.length, this.#bytes.length - at);
    if (length === 0) return;
    const { content, seed } = operation;
    let bytes: Buffer;
    if (content === 'random') bytes = noise(length, seed);
    else if (content === 'zeros') bytes = Buffer.alloc(length);
    else if (content === 'text') bytes = Buffer.alloc(length, `line ${seed} of a text that repeats\n`);
    else
      bytes = Buffer.from(
        this.#bytes.subarray(within(seed, this.#bytes.length - length + 1)).subarray(0, length),
      );
    bytes.copy(this.#bytes, at);
    const file = openSync(this.#source, 'r+');
    writeSync(file, bytes, 0, length, at);
    closeSync(file);
  }

  #punch(operation: Extract<Operation, { kind: 'punch' }>): void {
    const at = within(operation.at, this.#bytes.length);
    const length = Math.min(operation.length, this.#bytes.length - at);
    if (length === 0) return;
    this.#bytes.fill(0, at, at + length);
    run('fallocate', '--punch-hole', '--offset', String(at), '--length', String(length), this.#source);
  }

  #resize(wanted: number): void {
    const size = within(wanted, volumeBytesMax + 1);
    const bytes = Buffer.alloc(size);
    this.#bytes.copy(bytes);
    this.#bytes = bytes;
    truncateSync(this.#source, size);
  }

  async #backUp(incremental: boolean, hinted: boolean): Promise<void> {
    const parent = incremental ? this.#points.at(-1) : undefined;
    const changed_extents = hinted && parent !== undefined ? this.#changesSince(parent) : undefined;
    const order = { volume: this.name, incremental: parent !== undefined };
    const started = await this.#daemon.call('backup.create', {
      ...order,
      ...(changed_extents === undefined ? {} : { changed_extents }),
    });
    const { result } = await this.#daemon.done(started);
    if (changed_extents !== undefined) expect(result).toMatchObject({ hints: 'used' });
    const backup = await this.#daemon.call('backup.show', { backup: started.backup.id });
    expect(backup).toMatchObject({ status: 'available', size_bytes: this.#bytes.length });
    this.#points.push({ backup, bytes: Buffer.from(this.#bytes) });
  }

  /** What a device that counts in sectors would say. What the parent lacks need not be named. */
  #changesSince({ bytes }: Point): [offset: number, length: number][] {
    const sector = 512;
    const changes: [number, number][] = [];
    for (let at = 0; at < Math.min(bytes.length, this.#bytes.length); at += sector) {
      const now = this.#bytes.subarray(at, at + sector);
      if (now.equals(bytes.subarray(at, at + sector))) continue;
      const last = changes.at(-1);
      if (last !== undefined && last[0] + last[1] === at) last[1] += now.length;
      else changes.push([at, now.length]);
    }
    return changes;
  }

  async #restore(point: Point, operation: Extract<Operation, { kind: 'restore' }>): Promise<void> {
    const { how, differential, seed } = operation;
    const size = point.bytes.length;
    this.#files += 1;
    const target = join(this.#daemon.folder, `${this.name}-${this.#files}.out`);
    let before: Buffer = Buffer.alloc(0);
    let device: string | undefined;
    if (how !== 'new') {
      const room = size + operation.tail;
      before = noise(how === 'loop' ? Math.max(512, Math.ceil(room / 512) * 512) : room, seed);
      // Dirty, but for a part that is right already: a differential restore has something to leave alone.
      point.bytes.copy(before, 0, 0, Math.floor(size / 2));
      writeFileSync(target, before);
    }
    try {
      if (how === 'loop') device = run('losetup', '--find', '--show', target);
      const order = { backup: point.backup.id, target: device ?? target, force: how !== 'new', differential };
      const { result } = await this.#daemon.done(this.#daemon.call('backup.restore', order));
      expect(result).toMatchObject({ restored_bytes: size, tail_bytes: Math.max(0, before.length - size) });
      const after = device === undefined ? readFileSync(target) : readDevice(device, before.length);
      const expected = Buffer.concat([point.bytes, before.subarray(size)]);
      expect(after.length).toBe(expected.length);
      expect(firstDifference(after, expected)).toBe(-1);
    } finally {
      if (device !== undefined) run('losetup', '--detach', device);
      rmSync(target, { force: true });
    }
  }

  async #readView(point: Point, operation: Extract<Operation, { kind: 'view' }>): Promise<void> {
    const path = await this.#daemon.imageOf(point.backup);
    const at = within(operation.at, point.bytes.length + 1);
    const length = Math.min(operation.length, point.bytes.length - at);
    const file = openSync(path, 'r');
    try {
      const bytes = readFully(file, length, at);
      expect(firstDifference(bytes, point.bytes.subarray(at, at + length))).toBe(-1);
    } finally {
      closeSync(file);
    }
  }

  async #diff(a: Point, b: Point): Promise<void> {
    const { extents, changed_bytes, truncated } = await this.#daemon.call('backup.diff', {
      a: a.backup.id,
      b: b.backup.id,
    });
    const expected: number[] = [];
    const size = Math.max(a.bytes.length, b.bytes.length);
    for (let at = 0; at < size; at += blockBytes) {
      const [blockA, blockB] = [a.bytes.subarray(at, at + blockBytes), b.bytes.subarray(at, at + blockBytes)];
      if (!blockA.equals(blockB)) expected.push(at / blockBytes);
    }
    const named = new Set<number>();
    let sum = 0;
    for (const { offset, length } of extents) {
      sum += length;
      for (let at = offset; at < offset + length; at += 1) {
        named.add(Math.floor(at / blockBytes));
        at = (Math.floor(at / blockBytes) + 1) * blockBytes - 1;
      }
    }
    expect([...named]).toEqual(expected);
    expect({ changed_bytes, truncated }).toEqual({ changed_bytes: sum, truncated: false });
  }

  async #restart(how: 'stop' | 'kill' | 'lose catalog'): Promise<void> {
    if (how === 'stop') await this.#daemon.stop();
    else await this.#daemon.kill();
    if (how === 'lose catalog') {
      for (const ending of ['', '-lock'])
        rmSync(join(this.#daemon.stateDir, `catalog.mdb${ending}`), { force: true });
    }
    await this.#daemon.start();
    if (how !== 'lose catalog') return;
    const { result } = await this.#daemon.done(this.#daemon.call('catalog.rebuild', {}));
    expect(result).toMatchObject({ damaged_manifests: [], damaged_packs: [] });
    const known = await this.#daemon.call('volume.list', {});
    if (!known.volumes.some(({ name }) => name === this.name)) await this.begin();
    for (const { backup } of this.#points) {
      const { updated_at: _now, ...record } = await this.#daemon.call('backup.show', { backup: backup.id });
      expect(backup).toMatchObject(record);
    }
  }
}

function readDevice(device: string, length: number): Buffer {
  const file = openSync(device, 'r');
  try {
    return readFully(file, length);
  } finally {
    closeSync(file);
  }
}
