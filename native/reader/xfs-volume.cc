// Superblock, inodes and forks of XFS: see xfs-volume.h.
#include "xfs-volume.h"

#include <algorithm>

#include "crc32c.h"

namespace reader {

namespace {

constexpr size_t kSuperblockBytes = 512;
constexpr size_t kCacheBytes = 16 << 20;
constexpr int kTreeLevelsMax = 10;
// Kinds in folders, sparse inodes, own uuid, wide times, needs repair, wide extent counts, exchange, parent pointers.
constexpr uint32_t kIncompatibleKnown = 0xff;
constexpr uint64_t kWideTime = 8;

uint64_t FoldedRun(const Bytes& record, Run* run) {
  const uint64_t high = record.Be64(0);
  const uint64_t low = record.Be64(8);
  run->first = (high & ~(uint64_t{1} << 63)) >> 9;
  run->count = low & 0x1fffff;
  run->block = (high >> 63) != 0 ? 0 : (high & 0x1ff) << 43 | low >> 21;
  return run->first;
}

// How many of `count` sorted numbers begin at or before `wanted`; `at(n)` gives one.
template <typename At>
size_t CountBefore(size_t count, uint64_t wanted, At at) {
  size_t low = 0;
  for (size_t high = count; low < high;) {
    const size_t middle = (low + high) / 2;
    if (at(middle) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The run in a sorted list of extents; `end`: where what the list covers ends.
Run FindInExtents(const Bytes& list, size_t count, uint64_t first, uint64_t end) {
  list.Sub(0, count * 16);
  auto begin = [&](size_t entry) { return (list.Be64(entry * 16) & ~(uint64_t{1} << 63)) >> 9; };
  const size_t before = CountBefore(count, first, begin);
  if (before < count) end = std::min(end, begin(before));
  if (before == 0) return {first, end > first ? end - first : 1, 0};
  Run run;
  FoldedRun(list.From((before - 1) * 16), &run);
  if (first < run.first + run.count) return run;
  return {first, end > first ? end - first : 1, 0};
}

}  // namespace

bool XfsVolume::IsOne(const Image& image) {
  if (image.size() < kSuperblockBytes) return false;
  uint8_t magic[4];
  image.Read(0, magic, sizeof(magic));
  return memcmp(magic, "XFSB", 4) == 0;
}

XfsVolume::XfsVolume(const Image& image) : image_(image) {
  ReadSuperblock();
  cache_ = std::make_unique<BlockCache>(blockBytes_, kCacheBytes / blockBytes_,
                                        [this](uint64_t block, std::vector<uint8_t>& out) {
                                          image_.Read(Place(block) * blockBytes_, out.data(), out.size());
                                        });
}

void XfsVolume::ReadSuperblock() {
  std::vector<uint8_t> raw(kSuperblockBytes);
  image_.Read(0, raw.data(), raw.size());
  const uint16_t sector = Bytes(raw.data(), raw.size()).Be16(102);
  if (sector < 512 || sector > 32768) Damaged("the superblock can't be");
  raw.resize(sector);
  image_.Read(0, raw.data(), raw.size());
  Bytes super(raw.data(), raw.size());
  const uint16_t version = super.Be16(100);
  fifth_ = (version & 15) == 5;
  if (!fifth_ && ((version & 15) != 4 || !(version & 0x2000))) Fail(ENOTSUP, "the version of the file system is not known here");
  if (fifth_) Check(super, 224);
  const uint32_t incompatible = fifth_ ? super.Be32(216) : 0;
  if (incompatible & ~kIncompatibleKnown) Fail(ENOTSUP, "the file system has features that are not known here");
  hasKinds_ = fifth_ ? (incompatible & 1) != 0 : (version & 0x8000) != 0 && (super.Be32(200) & 0x200) != 0;

  blockBytes_ = super.Be32(4);
  blocks_ = super.Be64(8);
  groupBlocks_ = super.Be32(84);
  groups_ = super.Be32(88);
  inodeBytes_ = super.Be16(104);
  inodeBits_ = super.U8(123);
  groupBits_ = super.U8(124);
  const uint8_t folderShift = super.U8(192);
  const bool sizesFit = blockBytes_ >= 512 && blockBytes_ <= 65536 && (blockBytes_ & (blockBytes_ - 1)) == 0 &&
                        inodeBytes_ >= 256 && inodeBytes_ <= 2048 && inodeBits_ <= 8 &&
                        (uint64_t{inodeBytes_} << inodeBits_) == blockBytes_ && groupBits_ >= 1 && groupBits_ <= 32 &&
                        groupBlocks_ > 0 && groupBlocks_ <= (uint64_t{1} << groupBits_) && groups_ > 0;
  if (!sizesFit || folderShift > 8 || (uint64_t{blockBytes_} << folderShift) > 65536) Damaged("the superblock can't be");
  folderBlocks_ = 1u << folderShift;
  about_.kind = "xfs";
  about_.label = super.Label(108, 12);
  about_.uuid = UuidText(super.Sub(32, 16));
  about_.root = super.Be64(56);
  about_.blockBytes = blockBytes_;
  about_.totalBytes = blocks_ * blockBytes_;
  if (incompatible & 0x10) about_.notes.push_back("The file system is marked as in need of repair.");
  const uint64_t log = super.Be64(48);
  if (log == 0) {
    about_.notes.push_back("The log is on another device: whether it is empty is not known.");
  } else if (XfsLogIsDirty(image_, Place(log) * blockBytes_, uint64_t{super.Be32(96)} * blockBytes_)) {
    about_.notes.push_back(
        "The log was not empty and is not replayed: what was changed last may be missing, old or unreadable. "
        "A kernel mount without recovery shows the same; a restored volume, mounted read-write, replays it.");
  }
}

void XfsVolume::Check(const Bytes& structure, size_t at) const {
  const uint8_t zeros[4] = {};
  uint32_t crc = Crc32c(~0u, structure.data(), at);
  crc = Crc32c(crc, zeros, 4);
  crc = Crc32c(crc, structure.data() + at + 4, structure.size() - at - 4);
  if (~crc != structure.Le32(at)) Damaged("a checksum of metadata is wrong");
}

// From a number of group and block to the place in the volume.
uint64_t XfsVolume::Place(uint64_t block) const {
  const uint64_t group = block >> groupBits_;
  const uint64_t within = block & ((uint64_t{1} << groupBits_) - 1);
  if (group >= groups_ || within >= groupBlocks_) Damaged("a block lies behind the end of the volume");
  return group * groupBlocks_ + within;
}

void XfsVolume::ReadData(uint64_t block, uint64_t skip, uint8_t* out, size_t length) const {
  const uint64_t place = Place(block);
  // A run never leaves its group.
  const uint64_t within = block & ((uint64_t{1} << groupBits_) - 1);
  if (within + (skip + length + blockBytes_ - 1) / blockBytes_ > groupBlocks_) Damaged("an extent leaves its group");
  image_.Read(place * blockBytes_ + skip, out, length);
}

uint64_t XfsVolume::PlaceOf(const Run& run) const {
  const uint64_t place = Place(run.block);
  const uint64_t within = run.block & ((uint64_t{1} << groupBits_) - 1);
  if (run.count > groupBlocks_ - within) Damaged("an extent leaves its group");
  return place * blockBytes_;
}

XfsInode XfsVolume::Inode(uint64_t number) const {
  if (number > kNodeMax) Damaged("there is no such inode");
  Block block = cache_->Get(number >> inodeBits_);
  XfsInode inode;
  inode.number = number;
  Bytes raw = In(block).Sub((number & ((1u << inodeBits_) - 1)) * inodeBytes_, inodeBytes_);
  if (raw.Be16(0) != 0x494e) Damaged("there is no such inode");
  inode.raw.assign(raw.data(), raw.data() + raw.size());
  const uint8_t version = raw.U8(4);
  if (version < 1 || version > 3 || (version == 3) != fifth_) Damaged("an inode is damaged");
  if (fifth_) {
    Check(inode.bytes(), 100);
    if (raw.Be64(152) != number) Damaged("an inode is damaged");
  }
  if (inode.mode() == 0) Fail(ENOENT, "the inode is not in use");
  return inode;
}

Bytes XfsVolume::Fork(const XfsInode& inode, XfsFork fork) const {
  Bytes room = inode.bytes().From(inode.coreBytes());
  const size_t split = size_t{inode.bytes().U8(82)} * 8;
  if (fork == XfsFork::kAttributes) return split == 0 ? Bytes(nullptr, 0) : room.From(split);
  return split == 0 ? room : room.Sub(0, split);
}

XfsFormat XfsVolume::FormatOf(const XfsInode& inode, XfsFork fork) const {
  return static_cast<XfsFormat>(inode.bytes().U8(fork == XfsFork::kData ? 5 : 83));
}

Run XfsVolume::FindRun(const XfsInode& inode, XfsFork fork, uint64_t first) const {
  Bytes room = Fork(inode, fork);
  const XfsFormat format = FormatOf(inode, fork);
  if (format == XfsFormat::kTree) return FindInTree(inode, room, first);
  if (format != XfsFormat::kExtents) Damaged("a fork has no list of extents");
  const bool wide = (inode.moreFlags() & 16) != 0;
  uint64_t count;
  if (fork == XfsFork::kData) count = wide ? inode.bytes().Be64(24) : inode.bytes().Be32(76);
  else count = wide ? inode.bytes().Be32(76) : inode.bytes().Be16(80);
  if (count > room.size() / 16) Damaged("an inode has more extents than room for them");
  return FindInExtents(room, static_cast<size_t>(count), first, kEndless);
}

Run XfsVolume::FindInTree(const XfsInode& inode, const Bytes& root, uint64_t first) const {
  uint64_t end = kEndless;
  int level = root.Be16(0);
  if (level < 1 || level > kTreeLevelsMax) Damaged("a tree of extents is damaged");
  Bytes node = root;
  size_t head = 4;
  Block holder;
  for (;; --level) {
    const size_t count = level == root.Be16(0) ? root.Be16(2) : node.Be16(6);
    if (level == 0) return FindInExtents(node.From(head), count, first, end);
    const size_t room = (node.size() - head) / 16;
    if (count > room) Damaged("a tree of extents is damaged");
    auto key = [&](size_t entry) { return node.Be64(head + entry * 8); };
    const size_t before = CountBefore(count, first, key);
    if (before < count) end = std::min(end, key(before));
    if (before == 0) return {first, end > first ? end - first : 1, 0};
    holder = cache_->Get(node.Be64(head + room * 8 + (before - 1) * 8));
    node = In(holder);
    head = fifth_ ? 72 : 24;
    if (node.Be32(0) != (fifth_ ? 0x424d4133u : 0x424d4150u) || node.Be16(4) != level - 1) Damaged("a tree of extents is damaged");
    if (!fifth_) continue;
    Check(node, 64);
    if (node.Be64(56) != inode.number) Damaged("a tree of extents is damaged");
  }
}

std::vector<uint8_t> XfsVolume::ForkBlocks(const XfsInode& inode, XfsFork fork, uint64_t first, uint32_t count) const {
  std::vector<uint8_t> out(size_t{count} * blockBytes_);
  for (uint32_t at = 0; at < count; ++at) {
    const Run run = FindRun(inode, fork, first + at);
    if (run.block == 0) Damaged("metadata has a hole");
    Block block = cache_->Get(run.block + (first + at - run.first));
    memcpy(out.data() + size_t{at} * blockBytes_, block->data(), blockBytes_);
  }
  return out;
}

void ReadXfsFile(const XfsVolume& volume, const XfsInode& inode, uint64_t offset, uint8_t* out, size_t length) {
  if (inode.flags() & 1) Fail(ENOTSUP, "the file is on a realtime device");
  auto find = [&](uint64_t block) { return volume.FindRun(inode, XfsFork::kData, block); };
  auto read = [&](uint64_t block, uint64_t skip, uint8_t* to, size_t count) { volume.ReadData(block, skip, to, count); };
  ReadRuns(volume.blockBytes(), offset, out, length, find, read);
}

}  // namespace reader
