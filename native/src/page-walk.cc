// See page-walk.h. Numbers are read as the processor has them, which is how LMDB writes them.
#include "page-walk.h"

#include <lmdb.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace basalt {

namespace {

// Of a page: number, flags, the end of the places of its nodes, then those places.
constexpr size_t kFlagsAt = 10, kLowerAt = 12, kPlacesAt = 16;
constexpr uint16_t kBranch = 0x01, kLeaf = 0x02, kKinds = 0x0f;
// Of a node: size of its value (or number of its page) in two halves, flags, size of its key, then key and value.
constexpr size_t kNodeFlagsAt = 4, kKeySizeAt = 6, kKeyAt = 8;
// Of the record of a tree.
constexpr size_t kRecordBytes = 48, kDepthAt = 6, kRootAt = 40;
constexpr size_t kDepthMax = 12;

uint16_t Half(const uint8_t* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint32_t ValueSize(const uint8_t* node) { return Half(node) | uint32_t{Half(node + 2)} << 16; }
uint64_t ChildOf(const uint8_t* node) { return ValueSize(node) | uint64_t{Half(node + kNodeFlagsAt)} << 32; }
size_t KeySize(const uint8_t* node) { return Half(node + kKeySizeAt); }

}  // namespace

bool PageWalk::Knows() {
  int major, minor, patch;
  mdb_version(&major, &minor, &patch);
  return major == 0 && minor == 9 && sizeof(size_t) == 8;
}

PageWalk::PageWalk(int fd, size_t page_bytes, const void* record, size_t record_bytes)
    : fd_(fd), page_bytes_(page_bytes) {
  if (record_bytes != kRecordBytes) return;
  auto* bytes = static_cast<const uint8_t*>(record);
  std::memcpy(&root_, bytes + kRootAt, sizeof root_);
  depth_ = Half(bytes + kDepthAt);
  if (depth_ <= kDepthMax) levels_.resize(depth_);
}

PageWalk::Answer PageWalk::Find(const uint8_t* key, size_t key_bytes, void* value, size_t value_bytes) {
  if (levels_.empty()) return Answer::kUnsure;
  uint64_t number = root_;
  for (size_t level = 0; level < depth_; level++) {
    bool is_leaf = level + 1 == depth_;
    const uint8_t* page = Read(level, number);
    if (!page || (Half(page + kFlagsAt) & kKinds) != (is_leaf ? kLeaf : kBranch)) return Answer::kUnsure;
    size_t count = Count(page);
    if (count == 0) return Answer::kUnsure;
    // The last node whose key is not greater; the first of a branch has no key and stands for all that is smaller.
    size_t low = 0, high = count;
    bool equal = false;
    for (size_t first = is_leaf ? 0 : 1; std::max(low, first) < high;) {
      size_t middle = (std::max(low, first) + high) / 2;
      const uint8_t* node = Node(page, middle, is_leaf ? value_bytes : 0);
      if (!node || KeySize(node) != key_bytes) return Answer::kUnsure;
      int order = std::memcmp(node + kKeyAt, key, key_bytes);
      equal = equal || order == 0;
      if (order <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (is_leaf) {
      if (!equal) return Answer::kAbsent;
      const uint8_t* node = Node(page, low - 1, value_bytes);
      if (Half(node + kNodeFlagsAt) != 0 || ValueSize(node) != value_bytes) return Answer::kUnsure;
      std::memcpy(value, node + kKeyAt + key_bytes, value_bytes);
      return Answer::kFound;
    }
    const uint8_t* node = Node(page, low == 0 ? 0 : low - 1, 0);
    if (!node) return Answer::kUnsure;
    number = ChildOf(node);
  }
  return Answer::kUnsure;
}

const uint8_t* PageWalk::Read(size_t level, uint64_t number) {
  Level& kept = levels_[level];
  if (kept.number == number) return kept.bytes.data();
  kept.number = UINT64_MAX;
  kept.bytes.resize(page_bytes_);
  off_t position = static_cast<off_t>(number * page_bytes_);
  if (pread(fd_, kept.bytes.data(), page_bytes_, position) != static_cast<ssize_t>(page_bytes_)) return nullptr;
  uint64_t own;
  std::memcpy(&own, kept.bytes.data(), sizeof own);
  if (own != number) return nullptr;
  kept.number = number;
  return kept.bytes.data();
}

size_t PageWalk::Count(const uint8_t* page) const {
  size_t lower = Half(page + kLowerAt);
  return lower < kPlacesAt || lower > page_bytes_ ? 0 : (lower - kPlacesAt) / 2;
}

const uint8_t* PageWalk::Node(const uint8_t* page, size_t i, size_t data_bytes) const {
  size_t at = Half(page + kPlacesAt + i * 2);
  if (at + kKeyAt > page_bytes_) return nullptr;
  const uint8_t* node = page + at;
  return at + kKeyAt + KeySize(node) + data_bytes > page_bytes_ ? nullptr : node;
}

}  // namespace basalt
