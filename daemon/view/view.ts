/** The view: every backup as a file, through one FUSE mount.
 *
 *    kernel ─read▶ native session ─miss▶ lane ─▶ image.read ─verified▶ slot ─fill▶ kernel
 *
 *  Promises: bytes that could not be verified are never served, their slot answers EIO; memory is what was lent and does not
 *  grow with what is read; no failure of a backup escapes into the daemon. Knows nothing of jobs or the catalog. */

import { constants } from 'node:os';
import { join } from 'node:path';
import type { FuseCaller, FuseSession, Native } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/faults.ts';
import {
  blockBytesMax,
  viewCloseTimeoutMs,
  viewOpenBackupsMax,
  viewSlotBytes,
  viewTablesMax,
} from '../base/limits.ts';
import { Browse } from './browse/browse.ts';
import { Readers } from './browse/readers.ts';
import type { Sight } from './folders.ts';
import { Kept } from './kept.ts';
import { Lanes } from './lanes.ts';
import { prepareViewDirectory, viewMountName } from './stale-mounts.ts';
import { bytesOf } from './tables/image-bytes.ts';
import type { Partition } from './tables/range.ts';
import { readPartitions } from './tables/table.ts';
import { type OpenBackup, Tree, type ViewSource } from './tree.ts';

const { EACCES, EIO, ENOENT } = constants.errno;

export interface ViewParts {
  readonly native: Pick<Native, 'mountFuse'>;
  /** Whole slots of `viewSlotBytes`, two at least. Must not be used for anything else until `close` has resolved. */
  readonly cache: Uint8Array;
  /** `viewSlotBytes` for each miss that is read at a time. */
  readonly scratch: Uint8Array;
  readonly source: ViewSource;
  readonly viewDirectory: string;
  /** Path of `basalt-reader`. */
  readonly readerProgram: string;
  readonly clock: Clock;
  readonly threads: number;
  /** Whether others than root are let in at all, and what each of those who are may see. */
  readonly allowOther: boolean;
  readonly sightOf: (caller: FuseCaller) => Sight;
  /** Each user is shown himself as the owner of all files. */
  readonly callerOwnsAll: boolean;
  /** Somebody else has unmounted the view. */
  readonly onEnd?: () => void;
}

export interface View {
  readonly directory: string;
  /** Files inside the images. */
  readonly browse: Browse;
  /** BACKUP_UNKNOWN where the view does not show the backup. */
  imagePath(backupId: string): string;
  /** The backup goes away: nothing of it is kept, and whoever still reads it gets EIO. */
  dropBackup(backupId: string): void;
  statistics(): ViewStatistics;
  close(): Promise<void>;
}

export type ViewStatistics = ReturnType<FuseSession['statistics']>;

/** Makes the mount. MOUNT_POINT_UNUSABLE, MOUNT_FAILED. */
export async function openView(parts: ViewParts): Promise<View> {
  assert(viewSlotBytes % blockBytesMax === 0, 'a slot holds whole blocks of every size');
  assert(parts.cache.length >= 2 * viewSlotBytes, 'the cache holds two slots');
  const directory = await prepareViewDirectory(parts.viewDirectory);
  const server = new ViewServer(parts);
  try {
    await server.mount(directory);
  } catch (thrown) {
    throw new Fault('MOUNT_FAILED', `Cannot mount the view at "${directory}": ${textOf(thrown)}`, {
      cause: thrown,
      hint: 'The view needs /dev/fuse and the right to mount: run basaltd as root',
    });
  }
  const imagePath = (backupId: string) => join(directory, ...server.imagePath(backupId));
  const nowMs = () => parts.clock.now();
  const readers = new Readers({ program: parts.readerProgram, imagePath, nowMs });
  return {
    directory,
    browse: new Browse(readers),
    imagePath,
    dropBackup: (backupId) => {
      readers.dropBackup(backupId);
      server.dropBackup(backupId);
    },
    statistics: () => server.session.statistics(),
    close: () => {
      readers.close();
      return server.close();
    },
  };
}

class ViewServer {
  readonly #parts: ViewParts;
  readonly #tree: Tree;
  readonly #backups: Kept<OpenBackup>;
  readonly #tables: Kept<readonly Partition[]>;
  readonly #lanes: Lanes;
  #session: FuseSession | undefined;
  readonly #early: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(parts: ViewParts) {
    this.#parts = parts;
    this.#backups = new Kept(viewOpenBackupsMax, (backupId) => parts.source.open(backupId));
    this.#tables = new Kept(viewTablesMax, (backupId) => this.#readTable(backupId));
    this.#lanes = new Lanes(parts.scratch, viewSlotBytes);
    this.#tree = new Tree(parts.source, parts.clock.now(), {
      manifestBytes: async (backupId) => (await this.#backups.get(backupId)).manifest.byteLength,
      partitions: (backupId) => this.#tables.get(backupId),
    });
  }

  get session(): FuseSession {
    assert(this.#session !== undefined, 'the view is mounted');
    return this.#session;
  }

  async mount(directory: string): Promise<void> {
    this.#session = await this.#parts.native.mountFuse({
      mountPoint: directory,
      cache: this.#parts.cache,
      slotBytes: viewSlotBytes,
      threads: this.#parts.threads,
      name: viewMountName,
      allowOther: this.#parts.allowOther,
      callerOwnsAll: this.#parts.callerOwnsAll,
      onLookup: (token, caller, parent, name) =>
        this.#asked(token, caller, parent, (sight) => this.#lookup(token, sight, parent, name)),
      onReadFolder: (token, caller, node) =>
        this.#asked(token, caller, node, (sight) => this.#readFolder(token, sight, node)),
      onReadLink: (token, caller, node) =>
        this.#asked(token, caller, node, (sight) => this.#readLink(token, sight, node)),
      onAttribute: (token, caller, node, name) =>
        this.#asked(token, caller, node, () => this.#readAttribute(token, node, name)),
      onAttributeNames: (token, caller, node) =>
        this.#asked(token, caller, node, () => this.#readAttribute(token, node)),
      onOpen: (token, caller, node) => this.#asked(token, caller, node, () => this.#openFile(token, node)),
      onForget: (node) => this.#forget(node),
      onMiss: (token, node, offset, length, slot) => void this.#miss(token, node, offset, length, slot),
      onEnd: () => this.#parts.onEnd?.(),
    });
    for (const action of this.#early.splice(0)) action();
  }

  /** Answers those who may see what is at `node`: the kernel walks over names that it keeps, whoever asks for what is behind
   *  them, and a folder may be seen through a mount of its own. */
  #asked(
    token: number,
    caller: FuseCaller,
    node: number,
    answer: (sight: Sight) => Promise<void> | void,
  ): void {
    this.#whenMounted(() => {
      try {
        const sight = this.#parts.sightOf(caller);
        if (this.#tree.isSeen(sight, node)) void answer(sight);
        else this.session.replyError(token, EACCES);
      } catch {
        this.session.replyError(token, EIO);
      }
    });
  }

  /** The kernel may ask before this process has learnt that the mount is there. */
  #whenMounted(action: () => void): void {
    if (this.#session === undefined) this.#early.push(action);
    else action();
  }

  imagePath(backupId: string): readonly string[] {
    const path = this.#tree.imagePath(backupId);
    if (path !== undefined) return path;
    throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${backupId}" in the view: it is not available`);
  }

  dropBackup(backupId: string): void {
    this.#backups.drop(backupId);
    this.#tables.drop(backupId);
    for (const node of this.#tree.drop(backupId)) this.session.dropNode(node);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.session.unmount();
    // A read under way still writes to lent memory. One that hangs must not keep the daemon from stopping.
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, viewCloseTimeoutMs);
    });
    await Promise.race([this.#lanes.idle(), tooLate]);
    clearTimeout(timer);
  }

  async #lookup(token: number, sight: Sight, parent: number, name: string): Promise<void> {
    try {
      const found = await this.#tree.lookup(sight, parent, name);
      // Where nobody but root is let in there is nobody to keep a name from.
      this.session.replyNode(
        token,
        found && { ...found, guarded: found.guarded === true && this.#parts.allowOther },
      );
    } catch {
      // It may be there: only what the catalog does not have is not found.
      this.session.replyError(token, EIO);
    }
  }

  async #readFolder(token: number, sight: Sight, node: number): Promise<void> {
    try {
      this.session.replyFolder(token, await this.#tree.list(sight, node));
    } catch {
      this.session.replyError(token, EIO);
    }
  }

  #readLink(token: number, sight: Sight, node: number): void {
    try {
      const target = this.#tree.linkTarget(sight, node);
      if (target === undefined) this.session.replyError(token, ENOENT);
      else this.session.replyLink(token, target);
    } catch {
      this.session.replyError(token, EIO);
    }
  }

  /** One attribute, or the names of all. */
  #readAttribute(token: number, node: number, name?: string): void {
    try {
      const values = this.#tree.attributes(node);
      const names = () => [...values.keys()].map((key) => `${key}\0`).join('');
      this.session.replyAttribute(token, name === undefined ? names() : values.get(name));
    } catch {
      this.session.replyError(token, EIO);
    }
  }

  /** With the memory of a miss, and a block besides. */
  #readTable(backupId: string): Promise<readonly Partition[]> {
    return this.#lanes.run(async (scratch) => {
      const { image } = await this.#backups.get(backupId);
      const read = bytesOf(image, scratch);
      return readPartitions((offset, length) => {
        if (this.#closing !== undefined) throw new Fault('DAEMON_STOPPING', 'Cannot read: the view closes');
        return read(offset, length);
      }, image.sizeBytes);
    });
  }

  #openFile(token: number, node: number): void {
    const kind = this.#tree.place(node)?.kind;
    const isFile = kind === 'image' || kind === 'manifest' || kind === 'partition';
    this.session.replyOpen(token, isFile ? 0 : ENOENT);
  }

  #forget(node: number): void {
    const place = this.#tree.place(node);
    if (place?.kind === 'image' || place?.kind === 'partition') this.#backups.drop(place.backupId);
  }

  async #miss(token: number, node: number, offset: number, length: number, slot: number): Promise<void> {
    let errno = EIO;
    try {
      const memory = this.#parts.cache.subarray(slot * viewSlotBytes, (slot + 1) * viewSlotBytes);
      const whole = await this.#lanes.run((scratch) => this.#fill(node, offset, length, memory, scratch));
      errno = whole ? 0 : EIO;
    } catch {
      // The reader learns of it by EIO; `basaltctl backup verify` says which bytes and why.
    }
    this.session.fill(token, errno);
  }

  /** True where all bytes that are wanted are there and verified. */
  async #fill(
    node: number,
    offset: number,
    length: number,
    memory: Uint8Array,
    scratch: Uint8Array,
  ): Promise<boolean> {
    const place = this.#tree.place(node);
    if (place?.kind !== 'image' && place?.kind !== 'manifest') return false;
    const { image, manifest } = await this.#backups.get(place.backupId);
    if (this.#closing !== undefined || this.#tree.place(node) === undefined) return false;
    if (place.kind === 'manifest') {
      memory.set(manifest.subarray(offset, offset + length));
      return true;
    }
    const damaged = await image.read(offset, memory, scratch);
    return damaged.every((range) => range.offset >= offset + length || range.offset + range.length <= offset);
  }
}

const textOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
