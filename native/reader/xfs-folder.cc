// Folders of XFS: short ones in the inode, blocks of names, and an index by hash behind them.
#include <algorithm>

#include "xfs-volume.h"

namespace reader {

namespace {

// Names lie below, the index from here on, in bytes of the folder's own space.
constexpr uint64_t kIndexAt = uint64_t{1} << 35;
constexpr int kIndexLevelsMax = 6;
constexpr size_t kNamesOfOneHashMax = 4096;

uint32_t HashOf(std::string_view name) {
  uint32_t hash = 0;
  for (char letter : name) hash = (hash << 7 | hash >> 25) ^ static_cast<uint8_t>(letter);
  return hash;
}

using Take = std::function<bool(Entry&&)>;

// Short folders have no places of names but the ones that they would have in a block; those ascend.
bool ListShort(const XfsVolume& volume, const Bytes& fork, uint64_t position, const Take& take) {
  const bool wide = fork.U8(1) != 0;
  const size_t count = wide ? fork.U8(1) : fork.U8(0);
  const size_t numberBytes = wide ? 8 : 4;
  size_t at = 2 + numberBytes;
  for (size_t entry = 0; entry < count; ++entry) {
    const size_t length = fork.U8(at);
    const uint64_t place = uint64_t{fork.Be16(at + 1)} + 1;
    const size_t kindAt = at + 3 + length;
    const size_t numberAt = kindAt + (volume.hasKinds() ? 1 : 0);
    const uint64_t number = wide ? fork.Be64(numberAt) : fork.Be32(numberAt);
    if (place > position) {
      Entry found{fork.Text(at + 3, length), number, volume.hasKinds() ? KindOfEntry(fork.U8(kindAt)) : 0, place};
      if (!take(std::move(found))) return false;
    }
    at = numberAt + numberBytes;
  }
  return true;
}

// Where the names of a block begin and end. Damaged where it is no block of names of this folder.
struct NameRange {
  size_t begin;
  size_t end;
};

NameRange NamesOf(const XfsVolume& volume, const XfsInode& folder, const Bytes& block) {
  const uint32_t magic = block.Be32(0);
  const bool single = magic == (volume.fifth() ? 0x58444233u : 0x58443242u);
  if (!single && magic != (volume.fifth() ? 0x58444433u : 0x58443244u)) Damaged("a folder is damaged");
  if (volume.fifth()) {
    volume.Check(block, 4);
    if (block.Be64(40) != folder.number) Damaged("a folder is damaged");
  }
  size_t end = block.size();
  if (single) {
    const uint64_t tail = 8 + uint64_t{block.Be32(end - 8)} * 8;
    if (tail > end) Damaged("a folder is damaged");
    end -= static_cast<size_t>(tail);
  }
  return {volume.fifth() ? size_t{64} : size_t{16}, end};
}

struct Name {
  uint64_t node;
  std::string_view text;
  uint32_t kind;
  size_t behind;
};

// The name at `at`; node 0 where there is a gap.
Name NameAt(const XfsVolume& volume, const Bytes& block, size_t at) {
  if (block.Be16(at) == 0xffff) {
    const size_t length = block.Be16(at + 2);
    if (length < 8 || length % 8 != 0) Damaged("a folder is damaged");
    return {0, {}, 0, at + length};
  }
  const size_t length = block.U8(at + 8);
  const size_t kind = volume.hasKinds() ? 1 : 0;
  const Bytes text = block.Sub(at + 9, length + kind);
  return {block.Be64(at),
          {reinterpret_cast<const char*>(text.data()), length},
          kind != 0 ? KindOfEntry(text.U8(length)) : 0,
          at + ((9 + length + kind + 2 + 7) & ~size_t{7})};
}

bool ListBlock(const XfsVolume& volume, const XfsInode& folder, const Bytes& block, uint64_t base, uint64_t position,
               const Take& take) {
  const NameRange range = NamesOf(volume, folder, block);
  for (size_t at = range.begin; at < range.end;) {
    const Name name = NameAt(volume, block, at);
    at = name.behind;
    if (name.node == 0 || base + at <= position || name.text == "." || name.text == "..") continue;
    if (!take({std::string(name.text), name.node, name.kind, base + at})) return false;
  }
  return true;
}

// Follows the index. 0 where the name is not there or the index can't be followed: then the list counts.
class Index {
 public:
  Index(const XfsVolume& volume, const XfsInode& folder) : volume_(volume), folder_(folder) {}

  uint64_t Find(std::string_view name) const {
    const uint32_t hash = HashOf(name);
    uint64_t number = kIndexAt / volume_.blockBytes();
    if (volume_.FindRun(folder_, XfsFork::kData, number).block == 0) return 0;
    const size_t head = volume_.fifth() ? 64 : 16;
    for (int level = 0; level < kIndexLevelsMax; ++level) {
      const std::vector<uint8_t> raw = volume_.ForkBlocks(folder_, XfsFork::kData, number, volume_.folderBlocks());
      Bytes block(raw.data(), raw.size());
      const uint16_t magic = block.Be16(8);
      if (volume_.fifth()) volume_.Check(block, 12);
      const size_t count = block.Be16(head - (volume_.fifth() ? 8 : 4));
      if (head + count * 8 > block.size()) return 0;
      // The first entry whose hash is not below.
      size_t low = 0;
      for (size_t high = count; low < high;) {
        const size_t middle = (low + high) / 2;
        if (block.Be32(head + middle * 8) < hash) low = middle + 1;
        else high = middle;
      }
      if (low == count) return 0;
      if (magic != 0xfebe && magic != 0x3ebe) return FindAmong(block, head, low, count, hash, name);
      number = block.Be32(head + low * 8 + 4);
    }
    return 0;
  }

 private:
  uint64_t FindAmong(const Bytes& leaf, size_t head, size_t from, size_t count, uint32_t hash, std::string_view name) const {
    const size_t last = std::min(count, from + kNamesOfOneHashMax);
    for (size_t entry = from; entry < last && leaf.Be32(head + entry * 8) == hash; ++entry) {
      const uint64_t place = uint64_t{leaf.Be32(head + entry * 8 + 4)} * 8;
      if (place == 0) continue;
      const uint64_t each = uint64_t{volume_.folderBlocks()} * volume_.blockBytes();
      const std::vector<uint8_t> raw =
          volume_.ForkBlocks(folder_, XfsFork::kData, place / each * volume_.folderBlocks(), volume_.folderBlocks());
      Bytes block(raw.data(), raw.size());
      NamesOf(volume_, folder_, block);
      const Name found = NameAt(volume_, block, static_cast<size_t>(place % each));
      if (found.node != 0 && found.text == name) return found.node;
    }
    return 0;
  }

  const XfsVolume& volume_;
  const XfsInode& folder_;
};

}  // namespace

void ListXfs(const XfsVolume& volume, const XfsInode& folder, uint64_t position, const Take& take) {
  if (!folder.IsFolder()) Fail(ENOTDIR, "it is no folder");
  if (volume.FormatOf(folder, XfsFork::kData) == XfsFormat::kLocal) {
    ListShort(volume, volume.Fork(folder, XfsFork::kData), position, take);
    return;
  }
  const uint64_t blockBytes = volume.blockBytes();
  const uint64_t each = volume.folderBlocks();
  const uint64_t end = std::min(kIndexAt, folder.size()) / blockBytes;
  for (uint64_t number = position / blockBytes / each * each; number < end;) {
    const Run run = volume.FindRun(folder, XfsFork::kData, number);
    if (run.block == 0) {
      number = (std::min(end, run.first + run.count) + each - 1) / each * each;
      continue;
    }
    const std::vector<uint8_t> raw = volume.ForkBlocks(folder, XfsFork::kData, number, volume.folderBlocks());
    if (!ListBlock(volume, folder, {raw.data(), raw.size()}, number * blockBytes, position, take)) return;
    number += each;
  }
}

uint64_t LookupXfs(const XfsVolume& volume, const XfsInode& folder, std::string_view name) {
  if (!folder.IsFolder()) Fail(ENOTDIR, "it is no folder");
  if (volume.FormatOf(folder, XfsFork::kData) != XfsFormat::kLocal) {
    const uint64_t found = Index(volume, folder).Find(name);
    if (found != 0) return found;
  }
  return FindInList([&](const auto& take) { ListXfs(volume, folder, 0, take); }, name);
}

}  // namespace reader
