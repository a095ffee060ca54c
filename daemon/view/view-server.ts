/** Answers what the kernel asks of the mount, but for what native code answers itself.
 *
 *    names, attributes ▷ tree          bytes ▷ lane ▷ image.read ▷ verified ▷ slot          files inside ▷ reader of the file system
 *
 *  Promises: each request is answered once; bytes that could not be verified are never served, who wants them gets EIO; no failure of a
 *  backup escapes into the daemon. Knows nothing of where backups come from. */

import { constants } from 'node:os';
import { dirname } from 'node:path';
import type { FuseCaller, FuseSession, Native } from '../../native/native.ts';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/faults.ts';
import {
  treeLookupMs,
  treesAheadEveryMs,
  treesAheadMax,
  viewCloseTimeoutMs,
  viewRightsMs,
  viewSlotBytes,
} from '../base/limits.ts';
import type { DamagedRange } from '../repository/repository.ts';
import { Allowance } from './allowance.ts';
import type { ReaderPool } from './browse/pool.ts';
import { ReaderRefusal } from './browse/reader.ts';
import type { Sight } from './folders.ts';
import { Images } from './images.ts';
import { isReadable } from './inside/contents.ts';
import { FileTrees, type TreeVolume } from './inside/trees.ts';
import { type InnerVolume, isLogical } from './inside/volumes.ts';
import { Lanes } from './lanes.ts';
import { viewMountName } from './stale-mounts.ts';
import { Tree, type ViewSource } from './tree.ts';
import { withinTime } from './within-time.ts';

const { EACCES, EIO, ENOENT } = constants.errno;

export interface ViewParts {
  readonly native: Pick<Native, 'mountFuse' | 'socketPair'>;
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

export class ViewServer {
  readonly tree: Tree;
  readonly images: Images;
  readonly #parts: ViewParts;
  readonly #lanes: Lanes;
  readonly #trees: FileTrees;
  readonly #eager: Allowance;
  #directory = '';
  #session: FuseSession | undefined;
  readonly #early: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(parts: ViewParts, pool: ReaderPool) {
    this.#parts = parts;
    this.#eager = new Allowance(treesAheadMax, treesAheadEveryMs, () => parts.clock.now());
    this.#lanes = new Lanes(parts.scratch, viewSlotBytes);
    this.images = new Images(parts.source, this.#lanes);
    this.tree = new Tree(parts.source, parts.clock.now(), {
      manifestBytes: async (backupId) => (await this.images.get(backupId)).manifest.byteLength,
      partitions: (backupId) => this.images.partitions(backupId),
      volumes: (backupId) => this.images.volumes(backupId),
      refusalOf: (tree) => this.#refusalOf(tree),
      isTree: (tree) => this.#isTree(tree),
      notesOf: (tree) => {
        const known = this.#trees.known(tree);
        return known === undefined || known instanceof ReaderRefusal ? [] : known.notes;
      },
    });
    this.#trees = new FileTrees({
      native: parts.native,
      session: () => this.session,
      pool,
      program: parts.readerProgram,
      volumeOf: (node) => this.#volumeOf(node),
    });
  }

  get session(): FuseSession {
    assert(this.#session !== undefined, 'the view is mounted');
    return this.#session;
  }

  async mount(directory: string): Promise<void> {
    this.#directory = directory;
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
      onPermit: (token, caller, node) =>
        this.#asked(token, caller, node, () => this.session.permit(token, viewRightsMs)),
      onForget: (node) => this.#forget(node),
      onMiss: (token, node, offset, length, slot) => void this.#miss(token, node, offset, length, slot),
      onTree: (node) => this.#whenMounted(() => void this.#trees.wanted(node)),
      onTreeAnswer: (node, serial, errno, body) => this.#trees.answered(node, serial, errno, body),
      onTreeEnd: (node, serial) => this.#trees.ended(node, serial),
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
        if (this.tree.isSeen(sight, node)) void answer(sight);
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

  /** Path of the image of a backup. BACKUP_UNKNOWN. */
  imagePath(backupId: string): string {
    const path = this.tree.imagePath(backupId);
    if (path !== undefined) return [this.#directory, ...path].join('/');
    throw new Fault('BACKUP_UNKNOWN', `Cannot find backup "${backupId}" in the view: it is not available`);
  }

  /** The file that has the bytes of a volume inside a backup. BACKUP_UNKNOWN. */
  fileOf(backupId: string, volume: InnerVolume): { readonly imagePath: string; readonly offset: number } {
    const imagePath = this.imagePath(backupId);
    if (isLogical(volume)) return { imagePath: `${dirname(imagePath)}/${volume.name}.img`, offset: 0 };
    return { imagePath, offset: volume.segments[0]?.places[0] ?? 0 };
  }

  dropBackup(backupId: string): void {
    this.images.drop(backupId);
    for (const node of this.tree.places.drop(backupId)) {
      this.#trees.drop(node);
      this.session.dropNode(node);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.images.close();
    this.#trees.close();
    await this.session.unmount();
    // A read under way still writes to lent memory. One that hangs must not keep the daemon from stopping.
    await withinTime(this.#lanes.idle(), viewCloseTimeoutMs);
  }

  async #lookup(token: number, sight: Sight, parent: number, name: string): Promise<void> {
    try {
      const found = await this.tree.lookup(sight, parent, name);
      if (found === undefined) this.session.replyNode(token, found);
      else if ('node' in found)
        // Where nobody but root is let in there is nobody to keep a name from.
        this.session.replyNode(token, {
          ...found,
          guarded: found.guarded === true && this.#parts.allowOther,
        });
      else this.session.redirect(token, found.tree);
    } catch {
      // It may be there: only what the catalog does not have is not found.
      this.session.replyError(token, EIO);
    }
  }

  async #readFolder(token: number, sight: Sight, node: number): Promise<void> {
    try {
      const found = await this.tree.list(sight, node);
      if ('tree' in found) this.session.redirect(token, found.tree);
      else this.session.replyFolder(token, found);
    } catch {
      this.session.replyError(token, EIO);
    }
  }

  #readLink(token: number, sight: Sight, node: number): void {
    try {
      const target = this.tree.linkTarget(sight, node);
      if (target === undefined) this.session.replyError(token, ENOENT);
      else this.session.replyLink(token, target);
    } catch {
      this.session.replyError(token, EIO);
    }
  }

  /** One attribute, or the names of all. */
  async #readAttribute(token: number, node: number, name?: string): Promise<void> {
    try {
      const values = await this.tree.attributes(node);
      const names = () => [...values.keys()].map((key) => `${key}\0`).join('');
      this.session.replyAttribute(token, name === undefined ? names() : values.get(name));
    } catch {
      this.session.replyError(token, EIO);
    }
  }

  /** Why a file system is not shown. */
  async #refusalOf(tree: number): Promise<string | undefined> {
    try {
      await this.#trees.open(tree);
      return undefined;
    } catch (thrown) {
      const known = this.#trees.known(tree);
      if (!(known instanceof ReaderRefusal)) throw thrown;
      return `Its files can't be read: ${known.message}`;
    }
  }

  /** Whether a folder can be shown with the attributes that the image gives it. Nobody has looked into it yet, and who lists all backups
   *  would start a reader for each: only few are, and none is waited for longer than a list may take. */
  async #isTree(tree: number): Promise<boolean> {
    const known = this.#trees.known(tree);
    if (known !== undefined) return !(known instanceof ReaderRefusal);
    if (!this.#eager.take()) return false;
    return (await withinTime(this.#trees.open(tree), treeLookupMs)) !== undefined;
  }

  async #volumeOf(node: number): Promise<TreeVolume> {
    const place = this.tree.places.at(node);
    if (place?.kind !== 'tree') throw new Fault('BACKUP_UNKNOWN', 'Cannot read files: the backup has gone');
    const { backupId } = place;
    const { image } = await this.images.get(backupId);
    const volume = (await this.images.volumes(backupId)).volumes.find(({ name }) => name === place.path);
    if (volume === undefined || !isReadable(volume.content))
      throw new Fault('FILESYSTEM_UNKNOWN', 'Cannot read files: there is no file system');
    const source = {
      node: this.tree.places.nodeOf({ kind: 'image', backupId }),
      sizeBytes: image.sizeBytes,
      segments: volume.segments,
    };
    const generation = this.tree.places.generationOf(node);
    return { ...this.fileOf(backupId, volume), sizeBytes: volume.sizeBytes, source, generation };
  }

  #openFile(token: number, node: number): void {
    const kind = this.tree.places.at(node)?.kind;
    const isFile = kind === 'image' || kind === 'manifest' || kind === 'partition' || kind === 'inner';
    this.session.replyOpen(token, isFile ? 0 : ENOENT);
  }

  #forget(node: number): void {
    const place = this.tree.places.at(node);
    if (place?.kind === 'image' || place?.kind === 'partition' || place?.kind === 'inner')
      this.images.release(place.backupId);
  }

  async #miss(token: number, node: number, offset: number, length: number, slot: number): Promise<void> {
    let errno = EIO;
    let bad: readonly DamagedRange[] | undefined;
    try {
      const memory = this.#parts.cache.subarray(slot * viewSlotBytes, (slot + 1) * viewSlotBytes);
      bad = await this.#lanes.run((scratch) => this.#fill(node, offset, length, memory, scratch));
      if (bad !== undefined) errno = 0;
    } catch {
      // The reader learns of it by EIO; `basaltctl backup verify` says which bytes and why.
    }
    this.session.fill(token, errno, bad);
  }

  /** The ranges of the slot that could not be read and verified; undefined where that is all of it. */
  async #fill(
    node: number,
    offset: number,
    length: number,
    memory: Uint8Array,
    scratch: Uint8Array,
  ): Promise<readonly DamagedRange[] | undefined> {
    const place = this.tree.places.at(node);
    if (place?.kind !== 'image' && place?.kind !== 'manifest') return undefined;
    const { image, manifest } = await this.images.get(place.backupId);
    if (this.#closing !== undefined || this.tree.places.at(node) === undefined) return undefined;
    if (place.kind === 'manifest') {
      memory.set(manifest.subarray(offset, offset + length));
      return [];
    }
    const damaged = await image.read(offset, memory, scratch);
    return damaged.map((range) => {
      const start = Math.max(0, range.offset - offset);
      return { ...range, offset: start, length: range.offset + range.length - offset - start };
    });
  }
}
