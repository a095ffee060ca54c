// An ext2, ext3 or ext4 volume: superblock, groups, blocks and inodes. Source: the kernel's documentation, "ext4 Data
// Structures and Algorithms".
//
// Promises: what carries a checksum is checked; where the journal has committed blocks that are not in their places, they
// are read from the journal, so that what is shown is the committed state. Knows no names and no files.
#pragma once
#include <memory>
#include <unordered_map>

#include "block-cache.h"
#include "file-system.h"
#include "runs.h"

namespace reader {

struct ExtInode {
  uint32_t number = 0;
  std::vector<uint8_t> raw;
  uint32_t seed = 0;  // of the checksums of what belongs to it

  Bytes bytes() const { return {raw.data(), raw.size()}; }
  uint16_t mode() const { return bytes().Le16(0); }
  uint32_t flags() const { return bytes().Le32(0x20); }
  uint64_t size() const { return bytes().Le32(4) | uint64_t{bytes().Le32(0x6c)} << 32; }
  uint64_t attributeBlock() const { return bytes().Le32(0x68) | uint64_t{bytes().Le16(0x76)} << 32; }
  // How much of the inode behind the first 128 bytes is in fixed fields.
  size_t extraBytes() const { return raw.size() > 0x82 ? bytes().Le16(0x80) : 0; }
  bool IsFolder() const { return S_ISDIR(mode()); }
};

constexpr uint32_t kExtFlagEncrypted = 0x800;
constexpr uint32_t kExtFlagIndex = 0x1000;
constexpr uint32_t kExtFlagHugeUnits = 0x40000;
constexpr uint32_t kExtFlagExtents = 0x80000;
constexpr uint32_t kExtFlagInline = 0x10000000;

class ExtVolume {
 public:
  explicit ExtVolume(const Image& image);

  static bool IsOne(const Image& image);

  const Description& about() const { return about_; }
  uint32_t blockBytes() const { return blockBytes_; }
  uint64_t blocks() const { return blocks_; }
  bool hasChecksums() const { return (roCompatible_ & 0x400) != 0; }
  bool hasKinds() const { return (incompatible_ & 0x2) != 0; }
  bool hasHugeFiles() const { return (roCompatible_ & 0x8) != 0; }
  uint32_t seed() const { return seed_; }
  const std::array<uint32_t, 4>& hashSeed() const { return hashSeed_; }
  bool hashesUnsigned() const { return unsignedHashes_; }

  // A block of metadata, from the cache.
  Block Metadata(uint64_t block) const { return cache_->Get(block); }
  // Bytes of a file that lie within blocks from `block` on.
  void ReadData(uint64_t block, uint64_t skip, uint8_t* out, size_t length) const;
  // Where blocks of files are in the image; false where some of them are in the journal.
  bool PlaceOf(const Run& run, uint64_t* place) const;
  // ENOENT where the inode is not in use.
  ExtInode Inode(uint64_t number) const;
  void Note(std::string note) { about_.notes.push_back(std::move(note)); }

 private:
  void ReadSuperblock();
  void Replay();
  void ReadBlock(uint64_t block, uint8_t* out) const;
  uint64_t DescriptorBlock(uint32_t number) const;
  bool HasSuperblock(uint64_t group) const;
  uint64_t InodeTable(uint64_t group) const;

  const Image image_;
  Description about_;
  uint32_t blockBytes_ = 0;
  uint64_t blocks_ = 0;
  uint32_t inodes_ = 0;
  uint32_t firstBlock_ = 0;
  uint32_t blocksPerGroup_ = 0;
  uint32_t inodesPerGroup_ = 0;
  uint32_t inodeBytes_ = 128;
  uint32_t descriptorBytes_ = 32;
  uint32_t firstMetaGroup_ = 0;
  uint32_t compatible_ = 0;
  uint32_t incompatible_ = 0;
  uint32_t roCompatible_ = 0;
  uint32_t journal_ = 0;
  std::array<uint32_t, 2> superblockGroups_{};
  uint32_t seed_ = 0;
  std::array<uint32_t, 4> hashSeed_{};
  bool unsignedHashes_ = false;
  std::unique_ptr<BlockCache> cache_;
  // Blocks whose committed content is in the journal: where in the volume, and whether its first word was masked.
  struct Moved {
    uint64_t block;
    bool masked;
  };
  std::unordered_map<uint64_t, Moved> moved_;
  friend class ExtJournal;
};

// The run that `first` lies in; it may begin before it. Behind all blocks: a hole without end.
Run FindRun(const ExtVolume& volume, const ExtInode& inode, uint64_t first);
Piece LocateInExtFile(const ExtVolume& volume, const ExtInode& inode, uint64_t offset, uint64_t size);
// Fills `out` from `offset`, which with `length` lies within the size of the file.
void ReadExtFile(const ExtVolume& volume, const ExtInode& inode, uint64_t offset, uint8_t* out, size_t length);
// The content of a file that is kept in its inode.
std::vector<uint8_t> InlineData(const ExtVolume& volume, const ExtInode& inode);

// All extended attributes as the kernel gives them. With `inode_only` those in the inode, also the ones not shown.
std::vector<NamedValue> ExtAttributes(const ExtVolume& volume, const ExtInode& inode, bool inodeOnly);

uint64_t LookupExt(const ExtVolume& volume, const ExtInode& folder, std::string_view name);
void ListExt(const ExtVolume& volume, const ExtInode& folder, uint64_t position,
             const std::function<bool(Entry&&)>& take);
// The hash by which indexed folders are sorted; false where `version` is not known.
bool ExtNameHash(const ExtVolume& volume, uint8_t version, std::string_view name, uint32_t* hash);

}  // namespace reader
