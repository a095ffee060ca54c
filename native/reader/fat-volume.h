// A FAT12, FAT16 or FAT32 volume: boot sector, places, and folders with long names. Source: Microsoft's "FAT File System
// Specification" and what Linux makes of it.
//
// Promises: see file-system.h. Nodes are the places of directory entries in the image; the root is 1.
#pragma once
#include "fat-clusters.h"
#include "file-system.h"

namespace reader {

constexpr uint64_t kFatRoot = 1;

constexpr uint8_t kFatReadOnly = 0x01;
constexpr uint8_t kFatVolumeName = 0x08;
constexpr uint8_t kFatFolder = 0x10;
constexpr uint8_t kFatPartOfName = 0x0f;

// A directory entry of 32 bytes.
struct FatRecord {
  explicit FatRecord(const Bytes& raw) : raw(raw) {}
  Bytes raw;

  uint8_t head() const { return raw.U8(0); }
  uint8_t attributes() const { return raw.U8(11); }
  bool ends() const { return head() == 0; }
  bool isDeleted() const { return head() == 0xe5; }
  bool isPartOfName() const { return (attributes() & 0x3f) == kFatPartOfName; }
  bool isFile() const { return !ends() && !isDeleted() && (attributes() & kFatVolumeName) == 0; }
  bool isFolder() const { return (attributes() & kFatFolder) != 0; }
  uint32_t size() const { return raw.Le32(28); }
};

class FatVolume {
 public:
  explicit FatVolume(const Image& image);

  static bool IsOne(const Image& image);

  const Description& about() const { return about_; }
  const FatClusters& clusters() const { return *clusters_; }
  // The entry of a node: 32 bytes. ENOENT where it is none that is in use.
  std::vector<uint8_t> Record(uint64_t node) const;
  FatStream StreamOf(const FatRecord& record) const;
  // ENOTDIR where the node is no folder.
  FatStream FolderStream(uint64_t node) const;

 private:
  void FindLabel(const Bytes& boot, size_t at);

  Description about_;
  bool wide_ = false;  // FAT32
  FatStream root_;
  std::unique_ptr<FatClusters> clusters_;
};

void ListFat(const FatVolume& volume, uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take);

}  // namespace reader
