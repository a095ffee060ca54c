// Folders of ext2, ext3 and ext4: lists of names in blocks or in the inode, some with an index by hash.
#include <algorithm>

#include "crc32c.h"
#include "ext-volume.h"

namespace reader {

namespace {

// More than a folder of ext4 can have with 2^31 names of ordinary length.
constexpr uint64_t kFolderBytesMax = uint64_t{64} << 30;

// Calls `take` for each name in `list`, which begins at `base` of the folder; false when `take` has said no.
bool EachName(const ExtVolume& volume, const Bytes& list, uint64_t base, uint64_t position,
              const std::function<bool(Entry&&)>& take) {
  for (size_t at = 0; at + 8 <= list.size();) {
    size_t length = list.Le16(at + 4);
    if (length == 0xffff || length == 0) length = 65536;
    // The last name of a list of 64 KiB may say less than it takes.
    length = std::min(length, list.size() - at);
    if (length < 8) Damaged("a folder is damaged");
    const uint32_t inode = list.Le32(at);
    const size_t nameLength = volume.hasKinds() ? list.U8(at + 6) : list.Le16(at + 6);
    const uint64_t behind = base + at + length;
    const bool counts = inode != 0 && behind > position && nameLength > 0;
    if (counts) {
      if (nameLength + 8 > length) Damaged("a folder is damaged");
      Entry entry{list.Text(at + 8, nameLength), inode, volume.hasKinds() ? KindOfEntry(list.U8(at + 7)) : 0, behind};
      if (entry.name != "." && entry.name != ".." && !take(std::move(entry))) return false;
    }
    at += length;
  }
  return true;
}

// A block of an index has its own checksum, and to a reader of lists it looks empty.
bool IsIndexBlock(const Bytes& block, uint64_t number) {
  if (number == 0) return block.size() >= 40 && block.Le16(4) == 12 && block.Le16(16) == block.size() - 12;
  return block.Le32(0) == 0 && block.Le16(4) == block.size();
}

void CheckList(const ExtVolume& volume, const ExtInode& folder, const Bytes& block, uint64_t number) {
  if (!volume.hasChecksums()) return;
  if (folder.flags() & kExtFlagIndex && IsIndexBlock(block, number)) return;
  const size_t tail = block.size() - 12;
  const bool marked = block.Le32(tail) == 0 && block.Le16(tail + 4) == 12 && block.U8(tail + 7) == 0xde;
  if (!marked || block.Le32(tail + 8) != Crc32c(folder.seed, block.data(), tail)) Damaged("a folder is damaged");
}

Block FolderBlock(const ExtVolume& volume, const ExtInode& folder, uint64_t number) {
  const Run run = FindRun(volume, folder, number);
  if (run.block == 0) Damaged("a folder has a hole");
  return volume.Metadata(run.block + (number - run.first));
}

bool ListInline(const ExtVolume& volume, const ExtInode& folder, uint64_t position,
                const std::function<bool(Entry&&)>& take) {
  const std::vector<uint8_t> data = InlineData(volume, folder);
  Bytes bytes(data.data(), data.size());
  // The number of the parent comes first; what is behind the inode's own room is a list by itself.
  return EachName(volume, bytes.Sub(4, 56), 4, position, take) && EachName(volume, bytes.From(60), 60, position, take);
}

uint64_t FindInBlock(const ExtVolume& volume, const Bytes& block, std::string_view name) {
  uint64_t found = 0;
  EachName(volume, block, 0, 0, [&](Entry&& entry) {
    if (entry.name != name) return true;
    found = entry.node;
    return false;
  });
  return found;
}

// Follows the index to the one block where the name should be; 0 where it is not there, or the index can't be followed.
uint64_t FindByIndex(const ExtVolume& volume, const ExtInode& folder, std::string_view name) {
  Block holder = FolderBlock(volume, folder, 0);
  Bytes root = In(holder);
  const size_t levels = root.U8(30);
  uint32_t hash = 0;
  if (levels > 3 || !ExtNameHash(volume, root.U8(28), name, &hash)) return 0;
  size_t at = 24 + root.U8(29);
  for (size_t level = 0;; ++level) {
    Bytes node = In(holder).From(at);
    const size_t count = node.Le16(2);
    if (count == 0 || count * 8 > node.size()) return 0;
    size_t low = 1;
    for (size_t high = count; low < high;) {
      const size_t middle = (low + high) / 2;
      if (node.Le32(middle * 8) <= hash) low = middle + 1;
      else high = middle;
    }
    const uint32_t block = node.Le32((low - 1) * 8 + 4) & 0x0fffffff;
    holder = FolderBlock(volume, folder, block);
    if (level == levels) {
      CheckList(volume, folder, In(holder), block);
      return FindInBlock(volume, In(holder), name);
    }
    at = 8;
  }
}

}  // namespace

void ListExt(const ExtVolume& volume, const ExtInode& folder, uint64_t position,
             const std::function<bool(Entry&&)>& take) {
  if (!folder.IsFolder()) Fail(ENOTDIR, "it is no folder");
  if (folder.flags() & kExtFlagInline) {
    ListInline(volume, folder, position, take);
    return;
  }
  const uint64_t each = volume.blockBytes();
  const uint64_t size = folder.size();
  if (size > kFolderBytesMax) Damaged("a folder is larger than a folder can be");
  // The name that ends at `position` may be the last of its block: then the next block comes.
  uint64_t number = position / each;
  for (size_t count = 0; number * each < size; ++count) {
    const Run run = FindRun(volume, folder, number);
    if (run.block == 0) {
      number = run.first + run.count;
      continue;
    }
    Block block = volume.Metadata(run.block + (number - run.first));
    CheckList(volume, folder, In(block), number);
    if (!EachName(volume, In(block), number * each, position, take)) return;
    ++number;
  }
}

uint64_t LookupExt(const ExtVolume& volume, const ExtInode& folder, std::string_view name) {
  if (!folder.IsFolder()) Fail(ENOTDIR, "it is no folder");
  if (folder.flags() & kExtFlagIndex && !(folder.flags() & kExtFlagInline)) {
    const uint64_t found = FindByIndex(volume, folder, name);
    if (found != 0) return found;
  }
  // Names of the same hash may be in the next block, and an index may be wrong: the list itself is what counts.
  return FindInList([&](const auto& take) { ListExt(volume, folder, 0, take); }, name);
}

}  // namespace reader
