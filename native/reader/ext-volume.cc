// Superblock, groups and inodes of ext2, ext3 and ext4: see ext-volume.h.
#include "ext-volume.h"

#include "crc32c.h"
#include "ext-journal.h"

namespace reader {

namespace {

constexpr size_t kSuperblockAt = 1024;
constexpr size_t kSuperblockBytes = 1024;
constexpr size_t kCacheBytes = 16 << 20;

// What a reader must know of to read right. Without: compressed files, external journals, and what nobody uses.
constexpr uint32_t kIncompatibleKnown = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 |
                                        0x8000 | 0x10000 | 0x20000;
constexpr uint32_t kNeedsRecovery = 0x4;
constexpr uint32_t kMetaGroups = 0x10;
constexpr uint32_t k64Bit = 0x80;

}  // namespace

bool ExtVolume::IsOne(const Image& image) {
  if (image.size() < kSuperblockAt + kSuperblockBytes) return false;
  uint8_t magic[2];
  image.Read(kSuperblockAt + 0x38, magic, sizeof(magic));
  return magic[0] == 0x53 && magic[1] == 0xef;
}

ExtVolume::ExtVolume(const Image& image) : image_(image) {
  ReadSuperblock();
  cache_ = std::make_unique<BlockCache>(blockBytes_, kCacheBytes / blockBytes_,
                                        [this](uint64_t block, std::vector<uint8_t>& out) { ReadBlock(block, out.data()); });
  if ((incompatible_ & kNeedsRecovery) == 0) return;
  Replay();
}

void ExtVolume::Replay() {
  try {
    ExtJournal journal(*this, journal_);
    journal.Collect();
    // What was read so far may be older than what the journal holds.
    cache_ = std::make_unique<BlockCache>(
        blockBytes_, kCacheBytes / blockBytes_,
        [this](uint64_t block, std::vector<uint8_t>& out) { ReadBlock(block, out.data()); });
    about_.notes.clear();
    ReadSuperblock();
    Note("The journal was not empty: what it has committed is shown, as a mount would.");
    if (journal.hasFastCommits()) Note("Fast commits of the journal are not replayed: the last seconds may be missing.");
  } catch (const Failure& failure) {
    moved_.clear();
    Note("The journal needs recovery and can't be read (" + failure.why + "): files are shown as they lie.");
  }
}

void ExtVolume::ReadSuperblock() {
  std::vector<uint8_t> raw(kSuperblockBytes);
  // The superblock may have been committed to the journal, too.
  if (blockBytes_ != 0 && !moved_.empty()) {
    std::vector<uint8_t> block(blockBytes_);
    ReadBlock(kSuperblockAt / blockBytes_, block.data());
    memcpy(raw.data(), block.data() + kSuperblockAt % blockBytes_, kSuperblockBytes);
  } else {
    image_.Read(kSuperblockAt, raw.data(), raw.size());
  }
  Bytes super(raw.data(), raw.size());
  compatible_ = super.Le32(0x5c);
  incompatible_ = super.Le32(0x60);
  roCompatible_ = super.Le32(0x64);
  if (super.Le32(0x4c) == 0) compatible_ = incompatible_ = roCompatible_ = 0;
  if ((incompatible_ & ~kIncompatibleKnown) != 0) Fail(ENOTSUP, "the file system has features that are not known here");
  if (hasChecksums() && Crc32c(~0u, raw.data(), 0x3fc) != super.Le32(0x3fc)) Damaged("the superblock is damaged");

  const uint32_t shift = super.Le32(0x18);
  if (shift > 6) Damaged("the block size can't be");
  blockBytes_ = 1024u << shift;
  inodes_ = super.Le32(0);
  firstBlock_ = super.Le32(0x14);
  blocksPerGroup_ = super.Le32(0x20);
  inodesPerGroup_ = super.Le32(0x28);
  blocks_ = super.Le32(4);
  if (incompatible_ & k64Bit) blocks_ |= uint64_t{super.Le32(0x150)} << 32;
  inodeBytes_ = super.Le32(0x4c) == 0 ? 128 : super.Le16(0x58);
  descriptorBytes_ = (incompatible_ & k64Bit) ? super.Le16(0xfe) : 32;
  firstMetaGroup_ = super.Le32(0x104);
  journal_ = super.Le32(0xe0);
  superblockGroups_ = {super.Le32(0x24c), super.Le32(0x250)};
  seed_ = (incompatible_ & 0x2000) ? super.Le32(0x270) : Crc32c(~0u, raw.data() + 0x68, 16);
  for (size_t word = 0; word < 4; ++word) hashSeed_[word] = super.Le32(0xec + word * 4);
  unsignedHashes_ = (super.Le32(0x160) & 2) != 0;
  const bool sizesFit = inodeBytes_ >= 128 && inodeBytes_ <= blockBytes_ && (inodeBytes_ & (inodeBytes_ - 1)) == 0 &&
                        descriptorBytes_ >= 32 && descriptorBytes_ <= blockBytes_ && descriptorBytes_ <= 1024;
  if (!sizesFit || blocksPerGroup_ == 0 || inodesPerGroup_ == 0 || firstBlock_ > 1) Damaged("the superblock can't be");

  about_.kind = (incompatible_ & (0x40 | 0x80 | 0x200)) || hasChecksums() ? "ext4" : (compatible_ & 0x4) ? "ext3" : "ext2";
  about_.label = super.Label(0x78, 16);
  about_.uuid = UuidText(super.Sub(0x68, 16));
  about_.root = 2;
  about_.blockBytes = blockBytes_;
  about_.totalBytes = blocks_ * blockBytes_;
  if (incompatible_ & 0x10000) Note("Files that are encrypted can't be read without their keys.");
}

void ExtVolume::ReadBlock(uint64_t block, uint8_t* out) const {
  auto moved = moved_.find(block);
  if (moved == moved_.end()) {
    if (block >= blocks_) Damaged("a block lies behind the end of the volume");
    image_.Read(block * blockBytes_, out, blockBytes_);
    return;
  }
  image_.Read(moved->second.block * blockBytes_, out, blockBytes_);
  static const uint8_t magic[4] = {0xc0, 0x3b, 0x39, 0x98};
  if (moved->second.masked) memcpy(out, magic, sizeof(magic));
}

void ExtVolume::ReadData(uint64_t block, uint64_t skip, uint8_t* out, size_t length) const {
  const uint64_t last = block + (skip + length + blockBytes_ - 1) / blockBytes_;
  if (last < block || last > blocks_) Damaged("a file reaches behind the end of the volume");
  if (moved_.empty()) {
    image_.Read(block * blockBytes_ + skip, out, length);
    return;
  }
  std::vector<uint8_t> whole(blockBytes_);
  for (block += skip / blockBytes_, skip %= blockBytes_; length > 0; ++block, skip = 0) {
    const size_t count = std::min<size_t>(length, blockBytes_ - skip);
    ReadBlock(block, whole.data());
    memcpy(out, whole.data() + skip, count);
    out += count;
    length -= count;
  }
}

bool ExtVolume::PlaceOf(const Run& run, uint64_t* place) const {
  if (run.block >= blocks_ || run.count > blocks_ - run.block) Damaged("a file reaches behind the end of the volume");
  *place = run.block * blockBytes_;
  if (moved_.empty()) return true;
  // No run is longer than an extent can be.
  for (uint64_t at = 0; at < run.count; ++at) {
    if (moved_.contains(run.block + at)) return false;
  }
  return true;
}

bool ExtVolume::HasSuperblock(uint64_t group) const {
  if (group == 0) return true;
  if (compatible_ & 0x200) return group == superblockGroups_[0] || group == superblockGroups_[1];
  if (group == 1 || !(roCompatible_ & 1)) return true;
  for (uint64_t base : {3, 5, 7}) {
    uint64_t power = base;
    while (power < group) power *= base;
    if (power == group) return true;
  }
  return false;
}

uint64_t ExtVolume::DescriptorBlock(uint32_t number) const {
  const uint32_t each = blockBytes_ / descriptorBytes_;
  if (!(incompatible_ & kMetaGroups) || number < firstMetaGroup_) return kSuperblockAt / blockBytes_ + 1 + number;
  const uint64_t group = uint64_t{number} * each;
  // Where clusters are larger than blocks of 1 KiB, the first group begins at block 0, and the superblock is not its first.
  const bool second = group == 0 && firstBlock_ == 0 && blockBytes_ == 1024;
  return firstBlock_ + group * blocksPerGroup_ + (HasSuperblock(group) ? 1 : 0) + (second ? 1 : 0);
}

uint64_t ExtVolume::InodeTable(uint64_t group) const {
  const uint32_t each = blockBytes_ / descriptorBytes_;
  Block block = Metadata(DescriptorBlock(static_cast<uint32_t>(group / each)));
  const size_t at = group % each * descriptorBytes_;
  Bytes descriptor = In(block).Sub(at, descriptorBytes_);
  if (hasChecksums()) {
    const auto number = static_cast<uint32_t>(group);
    uint32_t crc = Crc32c(seed_, reinterpret_cast<const uint8_t*>(&number), 4);
    const uint8_t zeros[2] = {0, 0};
    crc = Crc32c(crc, descriptor.data(), 0x1e);
    crc = Crc32c(crc, zeros, 2);
    crc = Crc32c(crc, descriptor.data() + 0x20, descriptorBytes_ - 0x20);
    if ((crc & 0xffff) != descriptor.Le16(0x1e)) Damaged("the description of a group is damaged");
  }
  uint64_t table = descriptor.Le32(8);
  if (descriptorBytes_ >= 64) table |= uint64_t{descriptor.Le32(0x28)} << 32;
  return table;
}

ExtInode ExtVolume::Inode(uint64_t number) const {
  if (number == 0 || number > inodes_) Damaged("there is no such inode");
  const uint64_t group = (number - 1) / inodesPerGroup_;
  const uint64_t at = (number - 1) % inodesPerGroup_ * inodeBytes_;
  Block block = Metadata(InodeTable(group) + at / blockBytes_);
  Bytes bytes = In(block).Sub(at % blockBytes_, inodeBytes_);
  ExtInode inode;
  inode.number = static_cast<uint32_t>(number);
  inode.raw.assign(bytes.data(), bytes.data() + bytes.size());
  inode.seed = Crc32c(seed_, reinterpret_cast<const uint8_t*>(&inode.number), 4);
  inode.seed = Crc32c(inode.seed, inode.raw.data() + 0x64, 4);
  if (inode.extraBytes() + 128 > inode.raw.size()) Damaged("an inode is damaged");
  if (hasChecksums()) {
    const bool wide = inode.extraBytes() >= 4;
    const uint32_t kept = bytes.Le16(0x7c) | (wide ? uint32_t{bytes.Le16(0x82)} << 16 : 0);
    std::vector<uint8_t> blank = inode.raw;
    memset(blank.data() + 0x7c, 0, 2);
    if (wide) memset(blank.data() + 0x82, 0, 2);
    const uint32_t crc = Crc32c(inode.seed, blank.data(), blank.size());
    if (kept != (wide ? crc : crc & 0xffff)) Damaged("an inode is damaged");
  }
  if (inode.mode() == 0) Fail(ENOENT, "the inode is not in use");
  return inode;
}

}  // namespace reader
