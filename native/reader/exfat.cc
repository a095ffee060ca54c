// The reader of exFAT: nodes are the places of file entries in the image, the root is 1. Source: Microsoft's "exFAT file system
// specification". Owners and modes are what a mount by root shows; checksums of the boot region and of entries are checked.
#include <algorithm>

#include "fat-clusters.h"
#include "fat-text.h"
#include "text.h"

namespace reader {

namespace {

constexpr uint64_t kRoot = 1;
constexpr uint64_t kFolderBytesMax = uint64_t{256} << 20;
constexpr uint8_t kFile = 0x85, kStream = 0xc0, kName = 0xc1, kLabel = 0x83;
constexpr uint16_t kReadOnly = 0x01, kFolder = 0x10;
constexpr size_t kRecordBytes = 32;
constexpr size_t kUnitsOfRecord = 15;

// A file entry and those that belong to it, in their order.
class EntrySet {
 public:
  explicit EntrySet(std::vector<uint8_t> raw) : raw_(std::move(raw)) {}

  Bytes bytes() const { return {raw_.data(), raw_.size()}; }
  Bytes stream() const { return bytes().From(kRecordBytes); }
  bool isWhole() const {
    uint16_t sum = 0;
    for (size_t at = 0; at < raw_.size(); ++at) {
      if (at != 2 && at != 3) sum = static_cast<uint16_t>((sum << 15 | sum >> 1) + raw_[at]);
    }
    return raw_.size() >= 3 * kRecordBytes && sum == bytes().Le16(2) && stream().U8(0) == kStream;
  }
  bool isFolder() const { return (bytes().Le16(4) & kFolder) != 0; }
  uint64_t size() const { return stream().Le64(24); }
  uint64_t validBytes() const { return std::min(stream().Le64(8), size()); }
  FatStream Content() const { return {stream().Le32(20), (stream().U8(1) & 2) != 0, 0, size(), false}; }
  std::string Name() const {
    const size_t length = stream().U8(3);
    std::u16string units;
    for (size_t at = 2 * kRecordBytes; at < raw_.size() && units.size() < length && raw_[at] == kName; at += kRecordBytes) {
      for (size_t unit = 0; unit < kUnitsOfRecord && units.size() < length; ++unit) units += static_cast<char16_t>(bytes().Le16(at + 2 + unit * 2));
    }
    return UsableName(FromUtf16(units));
  }
  // A zone that is not told counts as UTC.
  Time TimeAt(size_t at, size_t hundredthsAt, size_t zoneAt) const {
    Time time = FromDos(bytes().Le16(at + 2), bytes().Le16(at));
    if (hundredthsAt != 0) {
      const uint32_t hundredths = std::min<uint32_t>(bytes().U8(hundredthsAt), 199);
      time.seconds += hundredths / 100;
      time.nanoseconds = hundredths % 100 * 10000000;
    }
    const uint8_t zone = bytes().U8(zoneAt);
    if (zone & 0x80) time.seconds -= (zone & 0x40 ? int{zone & 0x7f} - 128 : int{zone & 0x7f}) * 900;
    return time;
  }

 private:
  std::vector<uint8_t> raw_;
};

class Exfat final : public FileSystem {
 public:
  explicit Exfat(const Image& image) {
    std::vector<uint8_t> sector(512);
    image.Read(0, sector.data(), sector.size());
    Bytes boot(sector.data(), sector.size());
    const unsigned shift = boot.U8(108);
    const unsigned clusterShift = boot.U8(109);
    if (shift < 9 || shift > 12 || clusterShift > 25 - shift) Damaged("the boot sector is damaged");
    CheckBoot(image, size_t{1} << shift);
    const uint64_t tables = boot.U8(110);
    const uint64_t tableSectors = boot.Le32(84);
    const uint64_t table = tables == 2 ? boot.Le16(106) & 1 : 0;
    FatLayout layout;
    layout.entryBits = 32;
    layout.clusterBytes = 1u << (shift + clusterShift);
    layout.tableAt = (boot.Le32(80) + table * tableSectors) << shift;
    layout.clustersAt = uint64_t{boot.Le32(88)} << shift;
    layout.clusters = boot.Le32(92);
    const uint64_t bytes = layout.clustersAt + uint64_t{layout.clusters} * layout.clusterBytes;
    if (layout.clusters > 0xfffffff5 || (tableSectors << shift) / 4 < uint64_t{layout.clusters} + 2 || layout.clustersAt == 0)
      Damaged("the boot sector is damaged");
    if (bytes > kNodeMax) Fail(ENOTSUP, "the file system is too large");
    clusters_ = std::make_unique<FatClusters>(image, layout);
    root_ = {boot.Le32(96), false, 0, kFolderBytesMax, true};
    clusters_->PlaceOf(root_.first);
    about_.kind = "exfat";
    about_.root = kRoot;
    about_.uuid = SerialText(boot.Le32(100));
    about_.blockBytes = layout.clusterBytes;
    about_.totalBytes = bytes;
    if (boot.Le16(106) & 2) about_.notes.push_back("The file system was in use: what was being written then may be incomplete");
    // What is wrong with the root is told to who looks into it.
    try {
      clusters_->Records(root_, 0, [&](uint64_t, uint64_t, const Bytes& record) {
        if (record.U8(0) != kLabel) return record.U8(0) != 0;
        std::u16string units;
        for (size_t unit = 0; unit < std::min<size_t>(record.U8(1), 11); ++unit) units += static_cast<char16_t>(record.Le16(2 + unit * 2));
        about_.label = FromUtf16(units);
        return false;
      });
    } catch (const Failure&) {
    }
  }

  const Description& About() const override { return about_; }

  Attributes Stat(uint64_t node) override {
    Attributes out;
    out.node = node;
    if (node == kRoot) {
      out.mode = S_IFDIR | 0755;
      out.size = out.usedBytes = clusters_->BytesOf(root_);
      return out;
    }
    const EntrySet set = Set(node);
    out.mode = set.isFolder() ? S_IFDIR | 0755 : set.bytes().Le16(4) & kReadOnly ? S_IFREG | 0555 : S_IFREG | 0755;
    out.size = set.size();
    if (out.size > kFileBytesMax) Damaged("a file is larger than a file can be");
    const uint64_t each = about_.blockBytes;
    out.usedBytes = (out.size + each - 1) / each * each;
    out.modified = out.changed = set.TimeAt(12, 21, 23);
    out.accessed = set.TimeAt(16, 0, 24);
    return out;
  }

  uint64_t Lookup(uint64_t folder, std::string_view name) override {
    return FindInList([&](const auto& take) { List(folder, 0, take); }, name);
  }

  void List(uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) override {
    std::vector<uint8_t> raw;
    uint64_t place = 0;
    size_t wanted = 0;
    clusters_->Records(FolderStream(folder), position / 32 * 32, [&](uint64_t offset, uint64_t at, const Bytes& record) {
      const uint8_t type = record.U8(0);
      if (type == 0) return false;
      if (type == kFile) {
        raw.clear();
        place = at;
        wanted = (size_t{record.U8(1)} + 1) * kRecordBytes;
      } else if ((type & 0xc0) != 0xc0) {
        wanted = 0;
      }
      if (wanted == 0) return true;
      raw.insert(raw.end(), record.data(), record.data() + kRecordBytes);
      if (raw.size() < wanted) return true;
      wanted = 0;
      if (raw.size() < 3 * kRecordBytes) return true;
      const EntrySet set(raw);
      return take({set.Name(), place, set.isFolder() ? uint32_t{S_IFDIR} : uint32_t{S_IFREG}, offset + kRecordBytes});
    });
  }

  std::string ReadLink(uint64_t) override { Fail(EINVAL, "it is no symbolic link"); }

  size_t Read(uint64_t node, uint64_t offset, uint8_t* out, size_t length) override {
    const EntrySet set = FileSet(node);
    if (offset >= set.size()) return 0;
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, set.size() - offset));
    // What was reserved and never written is zeros.
    const uint64_t valid = set.validBytes();
    const auto written = offset < valid ? static_cast<size_t>(std::min<uint64_t>(count, valid - offset)) : 0;
    clusters_->Read(set.Content(), offset, out, written);
    std::fill(out + written, out + count, 0);
    return count;
  }

  Range NextData(uint64_t node, uint64_t offset) override {
    const EntrySet set = FileSet(node);
    if (offset >= set.validBytes()) return {set.size(), 0};
    return {offset, set.validBytes() - offset};
  }

  Piece Locate(uint64_t node, uint64_t offset) override {
    const EntrySet set = FileSet(node);
    const uint64_t valid = set.validBytes();
    if (offset >= valid) return {valid, set.size() - valid, Where::kZeros, 0};
    Piece piece = clusters_->Locate(set.Content(), offset);
    piece.length = std::min(piece.length, valid - piece.offset);
    return piece;
  }

 private:
  static void CheckBoot(const Image& image, size_t sectorBytes) {
    std::vector<uint8_t> raw(12 * sectorBytes);
    image.Read(0, raw.data(), raw.size());
    uint32_t sum = 0;
    for (size_t at = 0; at < 11 * sectorBytes; ++at) {
      if (at != 106 && at != 107 && at != 112) sum = (sum << 31 | sum >> 1) + raw[at];
    }
    if (Bytes(raw.data(), raw.size()).Le32(11 * sectorBytes) != sum) Damaged("the boot sector is damaged");
  }

  // A set may go on in another cluster: the next one, or the one that the chain names. The checksum says which.
  EntrySet Set(uint64_t node) const {
    if (node % kRecordBytes != 0 || clusters_->ClusterAt(node) == 0) Fail(ENOENT, "there is no such node");
    const Block block = clusters_->Around(node);
    const Bytes head = FatClusters::RecordIn(block, node);
    if (head.U8(0) != kFile) Fail(ENOENT, "the directory entry is not in use");
    const size_t bytes = (size_t{head.U8(1)} + 1) * kRecordBytes;
    for (bool chained : {false, true}) {
      try {
        EntrySet set(Gather(node, bytes, chained));
        if (set.isWhole()) return set;
      } catch (const Failure&) {
      }
    }
    Damaged("a directory entry is damaged");
  }

  std::vector<uint8_t> Gather(uint64_t place, size_t bytes, bool chained) const {
    std::vector<uint8_t> raw;
    for (uint32_t cluster = clusters_->ClusterAt(place);;) {
      const Block block = clusters_->Around(place);
      const Bytes record = FatClusters::RecordIn(block, place);
      raw.insert(raw.end(), record.data(), record.data() + kRecordBytes);
      if (raw.size() >= bytes) return raw;
      place += kRecordBytes;
      if ((place - clusters_->layout().clustersAt) % about_.blockBytes != 0) continue;
      cluster = chained ? clusters_->Next(cluster) : cluster + 1;
      place = clusters_->PlaceOf(cluster);
    }
  }

  FatStream FolderStream(uint64_t node) const {
    if (node == kRoot) return root_;
    const EntrySet set = Set(node);
    if (!set.isFolder()) Fail(ENOTDIR, "it is no folder");
    if (set.size() > kFolderBytesMax) Damaged("a folder is larger than a folder can be");
    return set.Content();
  }

  EntrySet FileSet(uint64_t node) const {
    if (node == kRoot) Fail(EINVAL, "it is no file");
    EntrySet set = Set(node);
    if (set.isFolder()) Fail(EINVAL, "it is no file");
    if (set.size() > kFileBytesMax) Damaged("a file is larger than a file can be");
    return set;
  }

  Description about_;
  FatStream root_;
  std::unique_ptr<FatClusters> clusters_;
};

}  // namespace

std::unique_ptr<FileSystem> OpenExfat(const Image& image) {
  if (image.size() < 512) return nullptr;
  uint8_t head[11];
  image.Read(0, head, sizeof(head));
  if (memcmp(head + 3, "EXFAT   ", 8) != 0) return nullptr;
  return std::make_unique<Exfat>(image);
}

}  // namespace reader
