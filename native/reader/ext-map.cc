// Where the bytes of a file of ext2, ext3 or ext4 are: extent trees, block lists, content in the inode.
#include <algorithm>

#include "crc32c.h"
#include "ext-volume.h"

namespace reader {

namespace {

// The deepest tree that can hold 2^32 blocks.
constexpr int kDepthMax = 5;

// A node of an extent tree: the entries behind its head.
struct ExtentNode {
  Bytes bytes;
  uint16_t entries;
  uint16_t depth;

  explicit ExtentNode(const Bytes& node) : bytes(node), entries(node.Le16(2)), depth(node.Le16(6)) {
    if (node.Le16(0) != 0xf30a || depth > kDepthMax || 12u + entries * 12u > node.size()) Damaged("a list of extents is damaged");
  }
  uint32_t First(size_t entry) const { return bytes.Le32(12 + entry * 12); }
  // How many entries begin at or before `block`.
  size_t Before(uint64_t block) const {
    size_t low = 0;
    size_t high = entries;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (First(middle) <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
};

void CheckTail(const ExtVolume& volume, const ExtInode& inode, const Bytes& block) {
  if (!volume.hasChecksums()) return;
  const size_t tail = 12 + size_t{block.Le16(4)} * 12;
  if (block.Le32(tail) != Crc32c(inode.seed, block.data(), tail)) Damaged("a list of extents is damaged");
}

Run FindExtent(const ExtVolume& volume, const ExtInode& inode, uint64_t first) {
  Block holder;
  ExtentNode node(inode.bytes().Sub(0x28, 60));
  uint64_t end = kEndless;  // where what the node covers ends
  for (int level = node.depth; level > 0; --level) {
    const size_t before = node.Before(first);
    if (before < node.entries) end = std::min<uint64_t>(end, node.First(before));
    // Nothing begins before: a hole up to the first entry.
    if (before == 0) return {first, end - first, 0};
    const size_t at = 12 + (before - 1) * 12;
    const uint64_t block = node.bytes.Le32(at + 4) | uint64_t{node.bytes.Le16(at + 8)} << 32;
    holder = volume.Metadata(block);
    const ExtentNode below(In(holder));
    CheckTail(volume, inode, In(holder));
    if (below.depth != level - 1) Damaged("a list of extents is damaged");
    node = below;
  }
  const size_t before = node.Before(first);
  if (before < node.entries) end = std::min<uint64_t>(end, node.First(before));
  if (before == 0) return {first, end - first, 0};
  const size_t at = 12 + (before - 1) * 12;
  const uint64_t begin = node.First(before - 1);
  const uint32_t raw = node.bytes.Le16(at + 4);
  const bool unwritten = raw > 0x8000;
  const uint64_t count = unwritten ? raw - 0x8000 : raw;
  if (first >= begin + count) return {first, end > first ? end - first : 1, 0};
  const uint64_t block = node.bytes.Le32(at + 8) | uint64_t{node.bytes.Le16(at + 6)} << 32;
  return {begin, count, unwritten ? 0 : block};
}

Run FindListed(const ExtVolume& volume, const ExtInode& inode, uint64_t first) {
  const uint64_t each = volume.blockBytes() / 4;
  if (first < 12) {
    const uint32_t block = inode.bytes().Le32(0x28 + first * 4);
    return {first, 1, block};
  }
  uint64_t at = first - 12;
  uint64_t span = 1;  // blocks that one entry of the level covers
  int level = 1;
  for (uint64_t whole = each; at >= whole; ++level) {
    if (level == 3) return {first, kEndless, 0};
    at -= whole;
    span = whole;
    whole *= each;
  }
  uint64_t block = inode.bytes().Le32(0x28 + (11 + static_cast<size_t>(level)) * 4);
  if (block == 0) return {first - at, span * each, 0};
  for (;; span /= each) {
    Block list = volume.Metadata(block);
    const uint64_t entry = at / span;
    block = In(list).Le32(entry * 4);
    at %= span;
    if (block == 0) return {first - at, span, 0};
    if (span > 1) continue;
    // Blocks in a row are read in one go.
    Run run{first, 1, block};
    while (entry + run.count < each && In(list).Le32((entry + run.count) * 4) == block + run.count) ++run.count;
    return run;
  }
}

}  // namespace

Run FindRun(const ExtVolume& volume, const ExtInode& inode, uint64_t first) {
  return inode.flags() & kExtFlagExtents ? FindExtent(volume, inode, first) : FindListed(volume, inode, first);
}

std::vector<uint8_t> InlineData(const ExtVolume& volume, const ExtInode& inode) {
  std::vector<uint8_t> data(inode.raw.begin() + 0x28, inode.raw.begin() + 0x28 + 60);
  for (const NamedValue& attribute : ExtAttributes(volume, inode, true)) {
    if (attribute.name == "system.data") data.insert(data.end(), attribute.value.begin(), attribute.value.end());
  }
  return data;
}

Piece LocateInExtFile(const ExtVolume& volume, const ExtInode& inode, uint64_t offset, uint64_t size) {
  if (inode.flags() & kExtFlagEncrypted) Fail(EACCES, "the file is encrypted");
  const Piece here{offset, size - offset, Where::kReader, 0};
  if (inode.flags() & kExtFlagInline) return here;
  bool inPlace = true;
  auto find = [&](uint64_t block) { return FindRun(volume, inode, block); };
  Piece piece = LocateInRuns(volume.blockBytes(), offset, find, [&](const Run& run) {
    uint64_t place = 0;
    inPlace = volume.PlaceOf(run, &place);
    return place;
  });
  if (!inPlace) piece.where = Where::kReader;
  return piece;
}

void ReadExtFile(const ExtVolume& volume, const ExtInode& inode, uint64_t offset, uint8_t* out, size_t length) {
  if (inode.flags() & kExtFlagEncrypted && S_ISREG(inode.mode())) Fail(EACCES, "the file is encrypted");
  if (inode.flags() & kExtFlagInline) {
    const std::vector<uint8_t> data = InlineData(volume, inode);
    memset(out, 0, length);
    if (offset < data.size()) memcpy(out, data.data() + offset, std::min<size_t>(length, data.size() - offset));
    return;
  }
  auto find = [&](uint64_t block) { return FindRun(volume, inode, block); };
  auto read = [&](uint64_t block, uint64_t skip, uint8_t* to, size_t count) { volume.ReadData(block, skip, to, count); };
  ReadRuns(volume.blockBytes(), offset, out, length, find, read);
}

}  // namespace reader
