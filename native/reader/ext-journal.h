// The journal of an ext3 or ext4 volume, read to learn which blocks it holds that are not in their places yet.
// Source: the kernel's documentation, "Journal (jbd2)".
//
// Promises: only transactions that were committed whole count; a journal whose checksums are wrong ends where they are; memory
// grows with the journal only, and a journal that is too large is a Failure. Nothing is written.
#pragma once
#include "ext-volume.h"

namespace reader {

class ExtJournal {
 public:
  ExtJournal(ExtVolume& volume, uint32_t inode);

  // Tells the volume of every block that the journal has committed.
  void Collect();
  bool hasFastCommits() const { return fastCommits_; }

 private:
  struct Tag {
    uint64_t block;
    uint32_t flags;
    uint64_t place;  // of the copy, in the journal
  };
  // Reads block `number` of the journal; gives where it is in the volume.
  uint64_t Read(uint32_t number, std::vector<uint8_t>& out) const;
  uint32_t Next(uint32_t number) const { return number + 1 >= end_ ? first_ : number + 1; }
  // The tags of a descriptor block whose copies begin behind `number`; moves `number` to the last of them.
  bool ReadTags(const std::vector<uint8_t>& block, uint32_t sequence, uint32_t* number, std::vector<Tag>* tags) const;
  // They lie behind the log, and count only for the transaction that comes next.
  void FindFastCommits(uint32_t sequence);
  bool TailFits(const std::vector<uint8_t>& block) const;
  void ReadRevokes(const std::vector<uint8_t>& block, std::vector<uint64_t>* revokes) const;

  ExtVolume& volume_;
  const ExtInode inode_;
  uint32_t first_ = 1;
  uint32_t end_ = 0;
  uint32_t start_ = 0;
  uint32_t sequence_ = 0;
  uint32_t features_ = 0;
  uint32_t seed_ = 0;
  bool fastCommits_ = false;
  std::unordered_map<uint64_t, uint32_t> revoked_;  // block to the last sequence that revoked it
};

}  // namespace reader
