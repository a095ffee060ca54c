// An XFS volume, version 4 or 5: superblock, inodes, and where the bytes of their forks are. Source: "XFS Algorithms & Data
// Structures", the published format.
//
// Promises: what carries a checksum is checked. The log is not replayed: a note says so where it is not empty.
// Knows no names and no files.
#pragma once
#include <memory>

#include "block-cache.h"
#include "file-system.h"
#include "runs.h"

namespace reader {

struct XfsInode {
  uint64_t number = 0;
  std::vector<uint8_t> raw;

  Bytes bytes() const { return {raw.data(), raw.size()}; }
  uint16_t mode() const { return bytes().Be16(2); }
  bool third() const { return bytes().U8(4) == 3; }
  uint64_t size() const { return bytes().Be64(56); }
  uint16_t flags() const { return bytes().Be16(90); }
  uint64_t moreFlags() const { return third() ? bytes().Be64(120) : 0; }
  size_t coreBytes() const { return third() ? 176 : 100; }
  bool IsFolder() const { return S_ISDIR(mode()); }
};

enum class XfsFork { kData, kAttributes };
enum class XfsFormat : uint8_t { kDevice = 0, kLocal = 1, kExtents = 2, kTree = 3 };

class XfsVolume {
 public:
  explicit XfsVolume(const Image& image);
  static bool IsOne(const Image& image);

  const Description& about() const { return about_; }
  bool fifth() const { return fifth_; }
  bool hasKinds() const { return hasKinds_; }
  uint32_t blockBytes() const { return blockBytes_; }
  uint32_t folderBlocks() const { return folderBlocks_; }

  XfsInode Inode(uint64_t number) const;
  // Where the content of a fork begins, and how much room it has in the inode.
  Bytes Fork(const XfsInode& inode, XfsFork fork) const;
  XfsFormat FormatOf(const XfsInode& inode, XfsFork fork) const;
  // The run that block `first` of a fork lies in; behind all: a hole without end.
  Run FindRun(const XfsInode& inode, XfsFork fork, uint64_t first) const;
  // A block of metadata of a fork; several in a row are one where `count` says so. Damaged where there is a hole.
  std::vector<uint8_t> ForkBlocks(const XfsInode& inode, XfsFork fork, uint64_t first, uint32_t count) const;
  // Bytes of the volume from block `block` on.
  void ReadData(uint64_t block, uint64_t skip, uint8_t* out, size_t length) const;
  // Where the bytes of a run that is no hole are in the image.
  uint64_t PlaceOf(const Run& run) const;
  // Damaged where the checksum at `at` of a structure of version 5 is wrong.
  void Check(const Bytes& structure, size_t at) const;

 private:
  void ReadSuperblock();
  uint64_t Place(uint64_t block) const;
  Run FindInTree(const XfsInode& inode, const Bytes& root, uint64_t first) const;

  const Image image_;
  Description about_;
  bool fifth_ = false;
  bool hasKinds_ = false;
  uint32_t blockBytes_ = 0;
  uint32_t folderBlocks_ = 1;
  uint64_t blocks_ = 0;
  uint32_t groupBlocks_ = 0;
  uint32_t groups_ = 0;
  uint8_t groupBits_ = 0;
  uint8_t inodeBits_ = 0;
  uint32_t inodeBytes_ = 0;
  std::unique_ptr<BlockCache> cache_;
};

void ReadXfsFile(const XfsVolume& volume, const XfsInode& inode, uint64_t offset, uint8_t* out, size_t length);

uint64_t LookupXfs(const XfsVolume& volume, const XfsInode& folder, std::string_view name);
void ListXfs(const XfsVolume& volume, const XfsInode& folder, uint64_t position,
             const std::function<bool(Entry&&)>& take);

std::vector<NamedValue> XfsAttributes(const XfsVolume& volume, const XfsInode& inode);

// True where the log of a volume has changes that are not in their places.
bool XfsLogIsDirty(const Image& image, uint64_t offset, uint64_t bytes);

}  // namespace reader
