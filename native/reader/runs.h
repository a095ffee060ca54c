// Files that lie in runs of blocks, as ext and XFS have them. `find(block)` gives the run that a block of the file lies in; it may
// begin before. Promises: whatever the runs say, a Failure is the worst. Knows no file system.
#pragma once
#include <algorithm>
#include <cstring>

#include "file-system.h"

namespace reader {

// `block` 0 is a hole, or not written yet.
struct Run {
  uint64_t first = 0;  // within the file
  uint64_t count = 0;
  uint64_t block = 0;
};

// The count of a hole that nothing ends.
constexpr uint64_t kEndless = uint64_t{1} << 60;

// Fills `out` from `offset`; `read(block, skip, out, length)` reads the volume. `each`: bytes of a block.
template <typename Find, typename Read>
void ReadRuns(uint64_t each, uint64_t offset, uint8_t* out, size_t length, Find find, Read read) {
  while (length > 0) {
    const uint64_t block = offset / each;
    const Run run = find(block);
    const uint64_t skip = offset - run.first * each;
    const uint64_t runBytes = run.count >= kEndless / each ? kEndless : run.count * each;
    if (block < run.first || skip >= runBytes) Damaged("a list of extents is damaged");
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, runBytes - skip));
    if (run.block == 0) memset(out, 0, count);
    else read(run.block, skip, out, count);
    out += count;
    offset += count;
    length -= count;
  }
}

// What FileSystem::NextData gives of a file of `size` bytes.
template <typename Find>
Range NextDataInRuns(uint64_t each, uint64_t size, uint64_t offset, Find find) {
  for (size_t step = 0; offset < size; ++step) {
    const Run run = find(offset / each);
    const uint64_t end = run.count >= size / each + 1 ? size : std::min(size, (run.first + run.count) * each);
    if (end <= offset) Damaged("a list of extents is damaged");
    // A list of many short holes is cut: to say "data" of a hole is no lie, only slower.
    if (run.block != 0 || step == kFolderBlocksMax) return {offset, end - offset};
    offset = end;
  }
  return {size, 0};
}

// What FileSystem::Locate gives. `place(run)`: where the run is in the image.
template <typename Find, typename PlaceOf>
Piece LocateInRuns(uint64_t each, uint64_t offset, Find find, PlaceOf place) {
  const Run run = find(offset / each);
  const uint64_t bytes = run.count >= kEndless / each ? kEndless : run.count * each;
  if (run.first > offset / each || offset - run.first * each >= bytes) Damaged("a list of extents is damaged");
  if (run.block == 0) return {run.first * each, bytes, Where::kZeros, 0};
  return {run.first * each, bytes, Where::kImage, place(run)};
}

}  // namespace reader
