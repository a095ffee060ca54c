// The boot sector of FAT and what follows from it: see fat-volume.h.
#include "fat-volume.h"

#include <algorithm>

#include "fat-text.h"

namespace reader {

namespace {

// Windows and Linux make none with more than 65536 entries of 32 bytes.
constexpr uint64_t kFolderBytesMax = uint64_t{8} << 20;

bool IsPower(uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

std::array<uint8_t, 512> BootSector(const Image& image) {
  std::array<uint8_t, 512> boot;
  image.Read(0, boot.data(), boot.size());
  return boot;
}

std::string Trimmed(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

bool FatVolume::IsOne(const Image& image) {
  if (image.size() < 512) return false;
  const auto sector = BootSector(image);
  Bytes boot(sector.data(), sector.size());
  const bool jumps = boot.U8(0) == 0xe9 || (boot.U8(0) == 0xeb && boot.U8(2) == 0x90);
  const uint8_t media = boot.U8(21);
  return (jumps || boot.Le16(510) == 0xaa55) && boot.Le16(11) >= 512 && boot.Le16(11) <= 4096 && IsPower(boot.Le16(11)) &&
         IsPower(boot.U8(13)) && boot.Le16(14) != 0 && boot.U8(16) != 0 && boot.U8(16) <= 4 && (media == 0xf0 || media >= 0xf8);
}

FatVolume::FatVolume(const Image& image) {
  const auto sector = BootSector(image);
  Bytes boot(sector.data(), sector.size());
  const uint32_t sectorBytes = boot.Le16(11);
  const uint32_t rootBytes = boot.Le16(17) * 32u;
  const uint64_t sectors = boot.Le16(19) != 0 ? boot.Le16(19) : boot.Le32(32);
  wide_ = boot.Le16(22) == 0;
  const uint64_t tableSectors = wide_ ? boot.Le32(36) : boot.Le16(22);
  if (tableSectors == 0 || rootBytes % sectorBytes != 0 || (wide_ && rootBytes != 0)) Damaged("the boot sector is damaged");

  FatLayout layout;
  layout.clusterBytes = sectorBytes * boot.U8(13);
  const uint64_t rootAt = (boot.Le16(14) + tableSectors * boot.U8(16)) * sectorBytes;
  layout.clustersAt = rootAt + rootBytes;
  // Where the tables are not kept alike, one of them counts.
  const uint32_t table = wide_ && boot.Le16(40) & 0x80 ? boot.Le16(40) & 15 : 0;
  if (table >= boot.U8(16)) Damaged("the boot sector is damaged");
  layout.tableAt = (boot.Le16(14) + tableSectors * table) * sectorBytes;
  const uint64_t end = sectors * sectorBytes;
  if (layout.clustersAt >= end || layout.clustersAt >= image.size()) Damaged("the boot sector is damaged");
  uint64_t count = (end - layout.clustersAt) / layout.clusterBytes;
  layout.entryBits = wide_ ? 28 : count < 4085 ? 12 : 16;
  count = std::min(count, tableSectors * sectorBytes * 8 / (wide_ ? 32 : layout.entryBits) - 2);
  layout.clusters = static_cast<uint32_t>(std::min<uint64_t>(count, 0x0ffffff5));
  clusters_ = std::make_unique<FatClusters>(image, layout);

  if (wide_) root_ = {boot.Le32(44) & 0x0fffffff, false, 0, kFolderBytesMax, true};
  else root_ = {0, false, rootAt, rootBytes, false};
  if (wide_) clusters_->PlaceOf(root_.first);

  about_.kind = "vfat";
  about_.root = kFatRoot;
  about_.blockBytes = layout.clusterBytes;
  about_.totalBytes = end;
  about_.notes.push_back("FAT keeps local times without a zone: they are shown as if they were UTC");
  const size_t extra = wide_ ? 64 : 36;
  // Linux sets a bit in the boot sector while the volume is mounted, Windows clears one in the table.
  const uint8_t head = In(clusters_->Around(layout.tableAt)).U8((layout.tableAt + (wide_ ? 7 : 3)) % FatClusters::kBlockBytes);
  const bool open = layout.entryBits != 12 && (head & (wide_ ? 0x08 : 0x80)) == 0;
  if (open || boot.U8(extra + 1) & 1) {
    about_.notes.push_back("The file system was in use: what was being written then may be incomplete");
  }
  const bool described = boot.U8(extra + 2) == 0x29;
  if (described || boot.U8(extra + 2) == 0x28) about_.uuid = SerialText(boot.Le32(extra + 3));
  if (described) about_.label = Trimmed(FromPage437(boot.Text(extra + 7, 11), false));
  if (about_.label == "NO NAME") about_.label.clear();
  // A label in the root counts before that of the boot sector. What is wrong with the root is told to who looks into it.
  try {
    clusters_->Records(root_, 0, [&](uint64_t, uint64_t, const Bytes& raw) {
      const FatRecord record(raw);
      if (record.ends()) return false;
      if (record.isDeleted() || record.isPartOfName() || (record.attributes() & (kFatVolumeName | kFatFolder)) != kFatVolumeName)
        return true;
      about_.label = Trimmed(FromPage437(raw.Text(0, 11), false));
      return false;
    });
  } catch (const Failure&) {
  }
}

std::vector<uint8_t> FatVolume::Record(uint64_t node) const {
  const bool inRoot = root_.fixedAt != 0 && node >= root_.fixedAt && node - root_.fixedAt < root_.bytes;
  if (node % 32 != 0 || (!inRoot && clusters_->ClusterAt(node) == 0)) Fail(ENOENT, "there is no such node");
  const Block block = clusters_->Around(node);
  const FatRecord record(FatClusters::RecordIn(block, node));
  if (!record.isFile()) Fail(ENOENT, "the directory entry is not in use");
  return {record.raw.data(), record.raw.data() + 32};
}

FatStream FatVolume::StreamOf(const FatRecord& record) const {
  const uint32_t first = record.raw.Le16(26) | (wide_ ? uint32_t{record.raw.Le16(20)} << 16 : 0);
  if (record.isFolder()) return {first, false, 0, kFolderBytesMax, true};
  return {first, false, 0, record.size(), false};
}

FatStream FatVolume::FolderStream(uint64_t node) const {
  if (node == kFatRoot) return root_;
  const std::vector<uint8_t> raw = Record(node);
  const FatRecord record({raw.data(), raw.size()});
  if (!record.isFolder()) Fail(ENOTDIR, "it is no folder");
  return StreamOf(record);
}

}  // namespace reader
