/** The typed face of the C++ addon, and its only loader.
 *
 *  Promises: JavaScript checks arguments here or in the caller; C++ gets clean values. Every call that may block runs
 *  on a pool thread and returns a promise; a call marked "at once" does not block. A failed system call rejects with an
 *  Error that has `code` (errno name), `errno`, `syscall` and, for reads and writes, `position` (bytes).
 *  Memory handed in must stay alive and untouched until the promise settles: lend it from the arena.
 *  Knows nothing of backups, catalogs or jobs. */

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FuseOptions, FuseSession } from './fuse.ts';

export type * from './fuse.ts';

export interface SealParts {
  /** File descriptor to read from at `position`; -1 where `input` holds the bytes already. */
  readonly fd: number;
  /** From `openDirect`, for the same file; -1: none. */
  readonly directFd: number;
  readonly position: number;
  /** Bytes to read, at most `input.length`. What the last block lacks is taken as zeros. */
  readonly length: number;
  readonly blockBytes: number;
  readonly input: Uint8Array;
  /** Receives the stored form of new blocks, one behind the other; as long as `input`. */
  readonly output: Uint8Array;
  /** Receives 32 bytes a block: its address, all zeros for a block of zeros. */
  readonly addresses: Uint8Array;
  /** Receives an entry (`daemon/format/block-layouts.ts`) for each new block, offsets counted in `output`. */
  readonly entries: Uint8Array;
  /** zstd level, 1 to 19; 0 stores everything raw. */
  readonly level: number;
  /** One byte, 0 at first. It is 1 before the first block is claimed, which is after the source was read, however long that took.
   *  Who was told that a block is known because of such a claim finds it 1. */
  readonly claims: Uint8Array;
}

export interface FetchParts {
  /** 32 bytes a block; all zeros: a block of zeros. */
  readonly addresses: Uint8Array;
  readonly blockBytes: number;
  /** Receives the blocks, one behind the other. */
  readonly output: Uint8Array;
  /** As long as `output`. */
  readonly scratch: Uint8Array;
  /** Packs are read past the page cache where they were lent so: for what is read once, and in order. */
  readonly pastCache: boolean;
  /** How long ago a pack may have been lent. */
  readonly trustMs: number;
}

export interface SealCounts {
  readonly zeroBlocks: number;
  readonly knownBlocks: number;
  readonly newBlocks: number;
  readonly storedBytes: number;
}

/** The look-up from block address to place in a pack: LMDB underneath, safe from several threads. It can be made anew
 *  from the packs at any time. A claim says that a block found absent is about to be stored by the caller of `seal`. */
export interface BlockIndex {
  /** Reads, finds zeros, hashes, looks up, claims and compresses; see `SealParts`. */
  seal(parts: SealParts): Promise<SealCounts>;
  /** Looks up, reads, decompresses and verifies. True: all of the output was verified in this call; false: something is unknown, can't
   *  be read or is not right, and nothing of the output counts. Numbers: these packs have to be lent first, and nothing was read. */
  fetch(parts: FetchParts): Promise<boolean | number[]>;
  /** The pack of this number is the open file `fd`, which stays open until it resolves; copies are kept for some seconds. `local`: a
   *  file past whose page cache can be read. False where there are too many open files. */
  lend(pack: number, fd: number, local: boolean): Promise<boolean>;
  /** At once. Fills a location (`daemon/format/block-layouts.ts`) an address. Sees committed packs only. */
  locate(addresses: Uint8Array, locations: Uint8Array): void;
  /** Fills a byte an address: 1 where a committed pack holds the block and that copy is not suspected, or where it is zeros. */
  holds(addresses: Uint8Array, held: Uint8Array): Promise<void>;
  /** Adds a durable pack: `entries` with offsets from the start of the pack. Ends the claims on them. Flushed when it
   *  resolves. `verified`: these very copies were just written or read whole, so that they end a suspicion. */
  addPack(name: Uint8Array, entries: Uint8Array, verified: boolean): Promise<void>;
  /** Adds several in one go, which is flushed once: names (32 bytes each), all entries one pack behind the other, and how many each
   *  pack has (four bytes each, little-endian). */
  addPacks(names: Uint8Array, entries: Uint8Array, counts: Uint8Array, verified: boolean): Promise<void>;
  /** At once. Ends claims whose blocks were not stored after all. */
  release(entries: Uint8Array): void;
  /** At once. Blocks found corrupt or missing count as unknown from now on, also after a restart, until a verified copy is added. */
  suspect(addresses: Uint8Array): void;
  /** At once. The name (32 bytes) behind a pack number; undefined where there is none. */
  packName(number: number): Buffer | undefined;
  /** Names of the packs that begin with the one byte of `first`, 32 bytes each, one behind the other. */
  packNames(first: Uint8Array): Promise<Buffer>;
  /** Forgets packs (32 bytes each) and every block that the index finds in them. */
  dropPacks(names: Uint8Array): Promise<void>;
  /** Forgets everything. */
  clear(): Promise<void>;
  /** At once. */
  statistics(): { blocks: number; packs: number; bytes: number; claims: number };
  close(): void;
}

export interface DecodeParts {
  /** Stored bytes as read from packs. */
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** A decode order (`daemon/format/block-layouts.ts`) a block. */
  readonly blocks: Uint8Array;
  /** Receives a byte a block: 0 verified, 1 corrupt. A corrupt block leaves zeros in the output. */
  readonly results: Uint8Array;
}

export interface WriteParts {
  readonly fd: number;
  /** From `openDirect`, for the same file; -1: none. */
  readonly directFd: number;
  /** Where in the target `data` begins. */
  readonly position: number;
  readonly data: Uint8Array;
  readonly blockBytes: number;
  /** What to do with a block of zeros: leave it out (the target is known to hold zeros), make it a hole, or write it. */
  readonly zeros: 'skip' | 'punch' | 'write';
  /** As long as `data`, where only blocks that differ may be written; the target is read into it first. */
  readonly compare?: Uint8Array;
}

export interface WriteCounts {
  readonly writtenBytes: number;
  readonly zeroedBytes: number;
  readonly unchangedBytes: number;
}

export interface HashChunksParts {
  /** File descriptor to read from at `position`; -1 where `input` holds the bytes already. */
  readonly fd: number;
  /** From `openDirect`, for the same file; -1: none. */
  readonly directFd: number;
  readonly position: number;
  readonly length: number;
  /** The last block may be shorter, and is hashed as it is. */
  readonly blockBytes: number;
  readonly input: Uint8Array;
  /** Receives 32 bytes a block: its SHA-256. */
  readonly hashes: Uint8Array;
  /** Receives a byte a block: 1 where it is all zeros. */
  readonly zeros: Uint8Array;
}

export interface PackedChunk {
  /** Bytes of the input that came out; fewer than all where the output had no room for more. */
  readonly consumed: number;
  readonly produced: number;
  /** bz2: first bit, number of bits and CRC of each block in the output. */
  readonly blocks: Uint32Array;
}

/** One object of a Cinder backup in the making: what must go through it in order. One call of each method at a time. */
export interface ChunkEncoder {
  /** Adds to the MD5 of the object, and to the check of its zlib stream. */
  digest(bytes: Uint8Array): Promise<void>;
  /** zstd: compresses `input` behind what came before; called again with what was not consumed, and until it is `done`.
   *  `sizeMax`: no more than that comes in all. */
  compress(parts: {
    readonly input: Uint8Array;
    readonly output: Uint8Array;
    readonly end: boolean;
    readonly sizeMax: number;
  }): Promise<{ readonly consumed: number; readonly produced: number; readonly done: boolean }>;
  /** bz2: moves the bits of packed blocks together, in place; gives the whole bytes that there are now. */
  join(bytes: Uint8Array, blocks: Uint32Array): Promise<number>;
  /** At once. The end of a zlib or bz2 stream. */
  tail(algorithm: 'zlib' | 'bz2'): Buffer;
  /** At once. The head of the frame, which goes before all that `compress` gave. */
  zstdHead(sizeBytes: number): Buffer;
  /** At once. MD5 of all that was digested; ends the digest. */
  md5(): Buffer;
}

/** One object of a Cinder backup, decompressed in order. One call at a time. */
export interface ChunkDecoder {
  /** Decompresses from `input` into `output`. `done`: the object has ended; `whole` false: it is damaged. Nothing consumed and
   *  nothing produced means that more input is needed. */
  step(
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<{
    readonly consumed: number;
    readonly produced: number;
    readonly done: boolean;
    readonly whole: boolean;
  }>;
  /** At once. MD5 of all that came out; the decoder is of no use afterwards. */
  md5(): Buffer;
}

export interface Native {
  /** At once. Zeroed, page-aligned memory outside V8's heap; resident where it was written to, given back when it is collected. */
  allocateArena(bytes: number): ArrayBuffer;
  /** At once. BLAKE3-256 of `bytes`: for pages, manifests and other small things. */
  hash(bytes: Uint8Array): Buffer;
  /** At once. CPU features used for hashing, for example "avx512". */
  hashImplementation(): string;
  /** At once. Lets go of the pages of the mapping of an LMDB file: the page cache has them, memory need not. */
  releaseMapped(path: string): void;
  openIndex(path: string, mapBytes: number): BlockIndex;
  decode(parts: DecodeParts): Promise<number>;
  /** Reads blocks and fills their addresses, all zeros for a block of zeros; changes and claims nothing. */
  addresses(parts: Omit<SealParts, 'output' | 'entries' | 'level' | 'claims'>): Promise<void>;
  /** Writes all of `bytes`: whole pages by `directFd`, which goes past the page cache (-1: none), the rest by `fd`. */
  writeAt(fd: number, directFd: number, position: number, bytes: Uint8Array): Promise<void>;
  write(parts: WriteParts): Promise<WriteCounts>;

  /** Reads, finds zeros, and makes the SHA-256 of every block. */
  hashChunks(parts: HashChunksParts): Promise<void>;
  /** Compresses a piece of an object by itself: raw deflate that ends at a byte, or single bz2 blocks. Holds nothing back:
   *  at least 512 KiB come out where `output` has 1 MiB. */
  packChunk(parts: {
    readonly algorithm: 'zlib' | 'bz2';
    readonly input: Uint8Array;
    readonly output: Uint8Array;
  }): Promise<PackedChunk>;
  openChunkEncoder(): ChunkEncoder;
  /** At once. All memory that the object may demand is `workspace`, which must not be used for anything else meanwhile. */
  openChunkDecoder(algorithm: 'none' | 'zlib' | 'bz2' | 'zstd', workspace: Uint8Array): ChunkDecoder;
  /** At once. Bytes of workspace that the zstd frame beginning with `head` demands; -1 where it is none. */
  zstdDemand(head: Uint8Array): number;
  /** Makes a row for each chunk of `input`: 32 bytes BLAKE3-256, then as 32-bit numbers the stored bytes, and the raw bytes with
   *  the encoding in the upper 8 bits. `output` gets the stored forms, one behind the other. Gives their bytes. */
  storeChunks(parts: {
    readonly input: Uint8Array;
    readonly output: Uint8Array;
    readonly rows: Uint8Array;
    readonly chunkBytes: number;
  }): Promise<number>;

  /** The next run of data or hole at or after `position`, by SEEK_DATA/SEEK_HOLE; a device without them is all data.
   *  `undefined` at the end. */
  nextExtent(fd: number, position: number, end: number): Promise<{ data: boolean; end: number } | undefined>;
  /** Makes a range read as zeros: a hole or discard where `fd` guarantees zeros after it, else zeros are written.
   *  Says which it was. */
  zeroRange(fd: number, position: number, length: number): Promise<'punched' | 'zeroed' | 'written'>;
  /** A second descriptor of the file behind `fd` that goes past the page cache; -1 where it takes no direct access.
   *  Whoever asked closes it. */
  openDirect(fd: number, forWriting: boolean): Promise<number>;
  /** Size of a block device in bytes, its logical sector size, and whether it is read-only. */
  blockDevice(fd: number): Promise<{ sizeBytes: number; sectorBytes: number; readOnly: boolean }>;
  /** A page of vital product data, read from the device now (SG_IO INQUIRY); undefined where it is no SCSI device, or has no such
   *  page. Rejects with `code` "NO_UNIT" where the storage shows no volume there any more. Hostile bytes. Source: sg(4), SPC-4. */
  inquiry(path: string, page: number, timeoutMs: number): Promise<Buffer | undefined>;
  /** Size and logical block of a block device, by its name: opening it may hang, so it is not opened on a thread of Node. */
  namedSize(path: string): Promise<{ sizeBytes: number; blockBytes: number }>;
  /** Writes dirty pages of the device back and drops the others, by its name. */
  namedFlush(path: string): Promise<void>;
  /** Writes a word to a file of sysfs that sets off work, and waits for its end, which may be long. */
  order(path: string, text: string): Promise<void>;
  /** What a loop device stands on, by st_dev and st_ino, and where that is a block device its st_rdev (else 0), however its path is
   *  called where one looks from. Source: loop(4). */
  loopBacking(fd: number): Promise<{ device: bigint; inode: bigint; blockDevice: bigint }>;
  /** Makes the file of `targetFd` share all bytes of the file of `sourceFd`, as they are at one moment, and gives its size.
   *  Source: ioctl_ficlone(2). */
  cloneFile(sourceFd: number, targetFd: number): Promise<number>;
  /** fsync, and for block devices their buffers too, off the main thread. */
  sync(fd: number): Promise<void>;

  /** What other processes hold open for writing, or share as memory to write to, as "pid/fd/number" or "pid/map_files/range" of
   *  /proc: files that the kernel shows under this inode number (or under none), or, without one, what lies below a folder "dev". Never touches the files themselves. Source: proc(5). */
  writableDescriptors(inode: string | undefined): Promise<string[]>;

  /** At once. Priority of the threads that wait for devices, from their next work on. Source: ioprio_set(2). */
  setDevicePriority(priority: 'none' | 'idle' | 'low' | 'normal' | 'high'): void;
  /** At once. Takes an exclusive lock (flock) that ends with the process; false where another process holds it. */
  tryLock(fd: number): boolean;
  /** At once. Kernel credentials of the other end of a Unix socket. */
  peerCredentials(fd: number): { pid: number; uid: number; gid: number };
  /** At once. All group ids of a user, from the system's user database; empty where the user is unknown. */
  groupsOf(uid: number): number[];
  /** At once. From now on no new process inherits what this one has open of the file at `path`; how many descriptors that were. For what
   *  a library opens. */
  keepFromChildren(path: string): number;
  /** At once. Sends one datagram to the systemd notification socket at `path` (`@` for abstract). */
  notify(path: string, message: string): void;

  /** At once. Two connected sockets, neither of which a new process inherits. Whoever asked closes them. */
  socketPair(): { ours: number; theirs: number };
  mountFuse(options: FuseOptions): Promise<FuseSession>;
}

const require = createRequire(import.meta.url);

export const native = require('#native') as Native;

/** Path of `basalt-reader`, the program that reads file systems inside images: built beside the addon. */
export const readerProgram = join(dirname(require.resolve('#native')), 'basalt_reader');
