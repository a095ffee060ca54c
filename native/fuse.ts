/** The face of a FUSE session of the addon: what it asks JavaScript, and how it is answered; see `native.ts`.
 *  Knows nothing of backups. */

export interface FuseOptions {
  readonly mountPoint: string;
  /** Memory for cached slots: a part of the arena, a multiple of `slotBytes`. */
  readonly cache: Uint8Array;
  readonly slotBytes: number;
  readonly threads: number;
  /** Name shown in the mount table. */
  readonly name: string;
  /** Others than root are let in. The kernel checks no modes: who may see and open what is for the callbacks to say. */
  readonly allowOther: boolean;
  /** Each caller is shown himself as the owner of everything, and the right to read it. */
  readonly callerOwnsAll: boolean;
  /** Each is called on the main thread and must answer by `reply*` or `fill` with the same token, once. */
  readonly onLookup: (token: number, caller: FuseCaller, parent: number, name: string) => void;
  readonly onReadFolder: (token: number, caller: FuseCaller, node: number) => void;
  readonly onReadLink: (token: number, caller: FuseCaller, node: number) => void;
  /** Only for names that begin with `user.basalt.`. */
  readonly onAttribute: (token: number, caller: FuseCaller, node: number, name: string) => void;
  readonly onAttributeNames: (token: number, caller: FuseCaller, node: number) => void;
  readonly onOpen: (token: number, caller: FuseCaller, node: number) => void;
  /** Somebody uses a file system inside an image, by the node of its root: `permit` or `replyError`. */
  readonly onPermit: (token: number, caller: FuseCaller, node: number) => void;
  /** All readers of an opened file have closed it. */
  readonly onForget: (node: number) => void;
  /** Bytes `offset … offset + length` of file `node` are wanted in `slot` (a number; its memory is `cache` from slot * slotBytes). */
  readonly onMiss: (token: number, node: number, offset: number, length: number, slot: number) => void;
  /** A file system inside an image is wanted, by the node of its root, and no reader serves it: `serveTree` or `failTree`. */
  readonly onTree: (node: number) => void;
  /** The first answer of a reader: errno and what it says. */
  readonly onTreeAnswer: (node: number, serial: number, errno: number, body: Buffer) => void;
  /** The reader has gone, by itself or because it was let go. */
  readonly onTreeEnd: (node: number, serial: number) => void;
  /** The kernel has ended the mount. */
  readonly onEnd: () => void;
}

/** Who makes a system call on the mount, as the kernel says. */
export interface FuseCaller {
  readonly uid: number;
  readonly gid: number;
}

/** A part of a window; with several places its bytes go round them, `stripeBytes` each time. */
export interface WindowSegment {
  readonly offset: number;
  readonly length: number;
  /** 0 where there is one place. */
  readonly stripeBytes: number;
  /** Where in the other file; -1: that part is missing, and reading it fails. */
  readonly places: readonly number[];
}

/** What a window is made of: parts of another file, which is asked for in `onMiss`, and whose slots both share. */
export interface WindowSource {
  readonly node: number;
  /** Of that other file. */
  readonly sizeBytes: number;
  /** One behind the other, from 0 on. */
  readonly segments: readonly WindowSegment[];
}

export interface FuseNode {
  readonly node: number;
  readonly folder: boolean;
  /** A symbolic link; `sizeBytes`: of its target. */
  readonly link?: boolean;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifiedAtMs: number;
  /** Not everybody may see its name: the kernel looks it up for each caller, and keeps it for none. */
  readonly guarded?: boolean;
  readonly source?: WindowSource;
  /** The folder is the root of a file system inside an image, of this number: a multiple of 2^48. It has the attributes that the image
   *  gives it; those given here are for when they can't be read. */
  readonly tree?: number;
}

/** A low-level FUSE session (libfuse3). Hits are answered by C++ from the cache; only misses come to JavaScript. */
export interface FuseSession {
  replyNode(token: number, node: FuseNode | undefined): void;
  replyFolder(
    token: number,
    names: readonly { name: string; node: number; folder: boolean; link?: boolean }[],
  ): void;
  replyLink(token: number, target: string): void;
  /** The value, or the names with a zero byte behind each; undefined where there is no such attribute. */
  replyAttribute(token: number, value: string | undefined): void;
  replyOpen(token: number, errno: number): void;
  /** The caller may use what he asked for; he is not asked for again for so long. */
  permit(token: number, forMs: number): void;
  /** In place of any other reply. */
  replyError(token: number, errno: number): void;
  /** The slot is filled (errno 0) or could not be (for example EIO). */
  fill(
    token: number,
    errno: number,
    /** Ranges of the slot that could not be: who wants some of their bytes gets EIO, and they are asked for again each time. */
    bad?: readonly { readonly offset: number; readonly length: number }[],
  ): void;
  /** Drops cached slots of a file that goes away; later reads of it miss. */
  dropNode(node: number): void;
  /** In place of `replyNode` or `replyFolder`: the folder is the root of that file system, whose reader answers what was asked. */
  redirect(token: number, tree: number): void;
  /** A reader was started, and `socket` leads to it; takes the descriptor. `serial`: a number that was not used before. */
  attachTree(node: number, serial: number, socket: number): void;
  /** The reader can be asked. `root`: what it calls the root. `generation`: another one for each use of the same number. */
  serveTree(
    node: number,
    serial: number,
    tree: { readonly root: number; readonly generation: number; readonly source: WindowSource },
  ): void;
  failTree(node: number, errno: number): void;
  /** Lets go of the reader, which ends when it has answered what it was asked. */
  detachTree(node: number): void;
  /** How long nobody has asked it; 0 while somebody waits for it. */
  treeIdleMs(node: number): number;
  statistics(): { reads: number; hits: number; misses: number; usedSlots: number };
  /** Unmounts (lazily if something still holds it) and joins the threads. */
  unmount(): Promise<void>;
}
