/** What a part of an image holds, by the marks that each kind of file system has at a fixed place. Sources: the documentation of each
 *  kind in the kernel, libblkid's names. Promises: a mark is only a hint; whoever reads what is behind it finds out.
 *  Knows nothing of backups: bytes come from a function. */

import type { ReadBytes } from '../tables/range.ts';

interface Mark {
  readonly at: number;
  readonly text: string;
  /** blkid's word. */
  readonly content: string;
}

/** In the order in which they count. */
const marks: readonly Mark[] = [
  { at: 512, text: 'LABELONE', content: 'LVM2_member' },
  { at: 0, text: 'LABELONE', content: 'LVM2_member' },
  { at: 1024, text: 'LABELONE', content: 'LVM2_member' },
  { at: 1536, text: 'LABELONE', content: 'LVM2_member' },
  { at: 0, text: 'LUKS\xba\xbe', content: 'crypto_LUKS' },
  { at: 4096, text: '\xfc\x4e\x2b\xa9', content: 'linux_raid_member' },
  { at: 4086, text: 'SWAPSPACE2', content: 'swap' },
  { at: 4086, text: 'SWAP-SPACE', content: 'swap' },
  { at: 0, text: 'XFSB', content: 'xfs' },
  { at: 3, text: 'NTFS    ', content: 'ntfs' },
  { at: 3, text: 'EXFAT   ', content: 'exfat' },
  { at: 1080, text: '\x53\xef', content: 'ext4' },
  { at: 1024, text: '\x10\x20\xf5\xf2', content: 'f2fs' },
  { at: 0, text: 'hsqs', content: 'squashfs' },
  { at: 82, text: 'FAT32   ', content: 'vfat' },
  { at: 54, text: 'FAT', content: 'vfat' },
  { at: 65_600, text: '_BHRfS_M', content: 'btrfs' },
  { at: 32_769, text: 'CD001', content: 'iso9660' },
];

const pageBytes = 8192;

/** Null where nothing is known there. */
export async function contentOf(read: ReadBytes, sizeBytes: number): Promise<string | null> {
  const first = await read(0, Math.min(pageBytes, sizeBytes));
  for (const { at, text, content } of marks) {
    const end = at + text.length;
    if (end > sizeBytes) continue;
    const bytes = end <= first.length ? first.subarray(at, end) : await read(at, text.length);
    if (bytes.toString('latin1') === text) return content;
  }
  // FAT without its name, as old programs made it: a jump, sectors of a size that can be, and a table.
  const jumps = first[0] === 0xeb || first[0] === 0xe9;
  const isFat =
    first.length >= 512 &&
    jumps &&
    [512, 1024, 2048, 4096].includes(first.readUInt16LE(11)) &&
    first[16] === 2;
  return isFat ? 'vfat' : null;
}

/** Kinds that the reader knows. ext2 and ext3 are told from ext4 by the reader. */
const readable: ReadonlySet<string> = new Set(['ext4', 'xfs', 'vfat', 'exfat', 'ntfs']);

export const isReadable = (content: string | null): boolean => content !== null && readable.has(content);

const notes: Readonly<Record<string, string>> = {
  swap: 'A swap area has no files',
  crypto_LUKS: 'What is here is encrypted (LUKS) and can only be read with its key',
  LVM2_member: 'This is a physical volume of LVM: its logical volumes are in "lvm"',
  btrfs: 'btrfs is not read here: mount it by the kernel, or read the image',
};

/** Why nothing is shown of `content`. */
export const noteOf = (content: string | null): string =>
  content === null
    ? 'No file system is known here: read the image'
    : (notes[content] ?? `What is here ("${content}") is not read: read the image`);
