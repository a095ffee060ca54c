// Folders of NTFS: an index of names, in the record of the folder and in blocks behind it. Each name is in it once, wherever it
// stands in the tree, so that a list needs no tree: it goes through the blocks that are in use, in their order.
#include <algorithm>

#include "ntfs-volume.h"
#include "text.h"

namespace reader {

namespace {

constexpr std::u16string_view kIndexName = u"$I30";
// Blocks of the index of a folder: some hundred million names.
constexpr uint64_t kIndexBytesMax = uint64_t{16} << 30;
constexpr size_t kBitmapBytesMax = 4 << 20;
constexpr int kLevelsMax = 32;
constexpr uint16_t kHasBelow = 1;
constexpr uint16_t kIsLast = 2;
constexpr uint8_t kDosName = 2;
constexpr uint32_t kFolderAttribute = 0x10000000;
// A place of a list: above, the block, counted from 1 on; below, the place within it. 0 above: the folder's own record.
constexpr unsigned kPlaceBits = 17;

struct IndexEntry {
  explicit IndexEntry(const Bytes& raw) : raw(raw) {}
  Bytes raw;

  uint64_t node() const {
    const uint64_t reference = raw.Le64(0);
    return (reference & 0xffffffff) | (reference >> 48) << 32;
  }
  bool isLast() const { return (raw.Le16(12) & kIsLast) != 0; }
  bool hasBelow() const { return (raw.Le16(12) & kHasBelow) != 0; }
  uint64_t below() const { return raw.Le64(raw.size() - 8); }
  std::u16string name() const { return NtfsText(raw, 0x52, raw.U8(0x50)); }
  bool counts() const { return raw.U8(0x51) != kDosName && (raw.Le64(0) & 0xffffffffffff) >= kNtfsFirstUser; }
  // Nothing where a stand-in may make it another kind.
  uint32_t kind() const {
    const uint32_t attributes = raw.Le32(0x48);
    if (attributes & (kNtfsHasReparse | kNtfsSystem)) return 0;
    return attributes & kFolderAttribute ? S_IFDIR : S_IFREG;
  }
};

// Calls `take(entry, where it ends)` for the entries behind the head at `at` until it says no; false when it did.
bool EachEntry(const Bytes& node, size_t at, const std::function<bool(const IndexEntry&, size_t)>& take) {
  const uint64_t end = uint64_t{at} + node.Le32(at + 4);
  if (end > node.size()) Damaged("a folder is damaged");
  for (uint64_t next = uint64_t{at} + node.Le32(at); next + 16 <= end;) {
    const size_t length = node.Le16(static_cast<size_t>(next) + 8);
    if (length < 16 || length % 8 != 0 || length > end - next) Damaged("a folder is damaged");
    const IndexEntry entry(node.Sub(static_cast<size_t>(next), length));
    next += length;
    if (!take(entry, static_cast<size_t>(next))) return false;
    if (entry.isLast()) return true;
  }
  Damaged("a folder is damaged");
}

class Index {
 public:
  Index(const NtfsVolume& volume, const NtfsFile& folder) : volume_(volume) {
    if (!folder.isFolder) Fail(ENOTDIR, "it is no folder");
    NtfsStream root;
    if (!volume.Find(folder, kNtfsIndexRoot, kIndexName, &root) || !root.resident || root.size < 32) Damaged("a folder is damaged");
    root_ = std::move(root.value);
    blockBytes_ = Bytes(root_.data(), root_.size()).Le32(8);
    if (blockBytes_ < 512 || blockBytes_ > 65536 || (blockBytes_ & (blockBytes_ - 1)) != 0) Damaged("a folder is damaged");
    hasBlocks_ = volume.Find(folder, kNtfsIndexBlocks, kIndexName, &blocks_) && !blocks_.resident;
    if (!hasBlocks_) return;
    if (blocks_.size > kIndexBytesMax) Damaged("a folder is larger than a folder can be");
    NtfsStream bitmap;
    if (!volume.Find(folder, kNtfsBitmap, kIndexName, &bitmap)) Damaged("a folder is damaged");
    used_ = volume.Whole(bitmap, kBitmapBytesMax);
  }

  static constexpr size_t kRootHead = 16;
  static constexpr size_t kBlockHead = 24;
  Bytes root() const { return {root_.data(), root_.size()}; }
  uint64_t blocks() const { return hasBlocks_ ? std::min<uint64_t>(blocks_.size / blockBytes_, uint64_t{used_.size()} * 8) : 0; }
  bool IsUsed(uint64_t block) const { return (used_[static_cast<size_t>(block / 8)] >> (block % 8) & 1) != 0; }
  // Blocks are counted in clusters, or in sectors where a cluster is larger than a block.
  uint64_t unitBytes() const { return volume_.clusterBytes() <= blockBytes_ ? volume_.clusterBytes() : 512; }
  uint32_t blockBytes() const { return blockBytes_; }

  std::vector<uint8_t> Block(uint64_t block) const {
    if (block >= blocks()) Damaged("a folder is damaged");
    std::vector<uint8_t> raw(blockBytes_);
    volume_.Read(blocks_, block * blockBytes_, raw.data(), raw.size());
    const Bytes bytes(raw.data(), raw.size());
    if (bytes.Text(0, 4) != "INDX" || !UnmarkSectors(raw.data(), raw.size()) || bytes.Le64(16) != block * blockBytes_ / unitBytes())
      Damaged("a folder is damaged");
    return raw;
  }

 private:
  const NtfsVolume& volume_;
  std::vector<uint8_t> root_;
  NtfsStream blocks_;
  bool hasBlocks_ = false;
  std::vector<uint8_t> used_;
  uint32_t blockBytes_ = 0;
};

// How names are sorted: capital letters as small ones. 0: the same but for those.
int Compare(const NtfsVolume& volume, std::u16string_view a, std::u16string_view b) {
  for (size_t at = 0; at < std::min(a.size(), b.size()); ++at) {
    const int difference = int{volume.Upper(a[at])} - int{volume.Upper(b[at])};
    if (difference != 0) return difference;
  }
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

// Down the tree; `*alike` is a name that only differs in capital letters. 0 where neither is there, or the tree can't be followed.
uint64_t FindByIndex(const NtfsVolume& volume, const Index& index, std::u16string_view name, uint64_t* alike) {
  std::vector<uint8_t> raw(index.root().data(), index.root().data() + index.root().size());
  size_t head = Index::kRootHead;
  for (int level = 0; level < kLevelsMax; ++level) {
    uint64_t found = 0;
    uint64_t below = ~uint64_t{0};
    EachEntry({raw.data(), raw.size()}, head, [&](const IndexEntry& entry, size_t) {
      int order = -1;
      if (!entry.isLast()) {
        const std::u16string here = entry.name();
        order = Compare(volume, name, here);
        if (order == 0 && entry.counts()) {
          if (here == name) found = entry.node();
          else if (*alike == 0) *alike = entry.node();
        }
        if (order == 0) order = name < std::u16string_view(here) ? -1 : 1;
      }
      if (order > 0 && found == 0) return true;
      if (entry.hasBelow()) below = entry.below();
      return false;
    });
    if (found != 0 || below == ~uint64_t{0}) return found;
    raw = index.Block(below * index.unitBytes() / index.blockBytes());
    head = Index::kBlockHead;
  }
  return 0;
}

}  // namespace

void ListNtfs(const NtfsVolume& volume, const NtfsFile& folder, uint64_t position, const std::function<bool(Entry&&)>& take) {
  const Index index(volume, folder);
  const uint64_t begin = position >> kPlaceBits;
  for (uint64_t number = begin; number <= index.blocks(); ++number) {
    if (number > 0 && !index.IsUsed(number - 1)) continue;
    const size_t seen = number == begin ? static_cast<size_t>(position & ((1u << kPlaceBits) - 1)) : 0;
    std::vector<uint8_t> raw;
    if (number > 0) raw = index.Block(number - 1);
    const Bytes node = number > 0 ? Bytes(raw.data(), raw.size()) : index.root();
    const bool more = EachEntry(node, number > 0 ? Index::kBlockHead : Index::kRootHead, [&](const IndexEntry& entry, size_t end) {
      if (entry.isLast() || end <= seen || !entry.counts()) return true;
      return take({UsableName(FromUtf16(entry.name())), entry.node(), entry.kind(), number << kPlaceBits | end});
    });
    if (!more) return;
  }
}

uint64_t LookupNtfs(const NtfsVolume& volume, const NtfsFile& folder, std::string_view name) {
  uint64_t alike = 0;
  std::u16string wanted;
  if (ToUtf16(name, &wanted)) {
    const Index index(volume, folder);
    const uint64_t found = FindByIndex(volume, index, wanted, &alike);
    if (found != 0) return found;
  }
  // The exact name may stand elsewhere than where the index was followed to: the list itself is what counts.
  try {
    return FindInList([&](const auto& take) { ListNtfs(volume, folder, 0, take); }, name);
  } catch (const Failure& failure) {
    if (alike == 0 || failure.number != ENOENT) throw;
    return alike;
  }
}

}  // namespace reader
