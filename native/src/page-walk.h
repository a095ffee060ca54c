// A look-up in a tree of an LMDB file by reading its pages, past the mapping. Source: the page layout in mdb.c of LMDB 0.9.
//
// A page that is touched through the mapping brings fifteen neighbours into the memory of the process, for every level of the tree;
// mapping them and letting them go again costs ten times what reading a page does, and they count as resident in between.
// Promises: what it can't make sense of is kUnsure, never an answer; stays within the pages that it read. The caller holds a read
// transaction of the snapshot that the root is of, so that no page of it changes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace basalt {

class PageWalk {
 public:
  enum class Answer { kFound, kAbsent, kUnsure };

  // `record`: what the main table says of the tree that is walked.
  PageWalk(int fd, size_t page_bytes, const void* record, size_t record_bytes);
  // Copies the value, which has exactly `value_bytes`.
  Answer Find(const uint8_t* key, size_t key_bytes, void* value, size_t value_bytes);

  // True for the versions of the library whose pages are known here.
  static bool Knows();

 private:
  struct Level {
    uint64_t number = UINT64_MAX;
    std::vector<uint8_t> bytes;
  };
  const uint8_t* Read(size_t level, uint64_t number);
  // The node behind place `i` of a page, with at least `data_bytes` behind its key; null where it is none.
  const uint8_t* Node(const uint8_t* page, size_t i, size_t data_bytes) const;
  size_t Count(const uint8_t* page) const;

  int fd_;
  size_t page_bytes_;
  uint64_t root_ = UINT64_MAX;
  size_t depth_ = 0;
  // The page of each level that was read last: that of the root stays.
  std::vector<Level> levels_;
};

}  // namespace basalt
