// Whether the log of an XFS volume is empty. Sectors of 512 bytes carry the number of the pass over the log that wrote them;
// where that number falls is the end, and the record before it tells of an orderly unmount or does not.
#include <algorithm>

#include "xfs-volume.h"

namespace reader {

namespace {

constexpr uint64_t kSector = 512;
constexpr uint32_t kRecordMagic = 0xfeedbabe;
// The longest record and its heads.
constexpr uint64_t kRecordSectorsMax = 1024;
constexpr uint8_t kUnmount = 0x20;

class Log {
 public:
  Log(const Image& image, uint64_t offset, uint64_t bytes) : image_(image), offset_(offset), sectors_(bytes / kSector) {}

  std::array<uint8_t, kSector> Sector(uint64_t number) const {
    std::array<uint8_t, kSector> sector;
    image_.Read(offset_ + number % sectors_ * kSector, sector.data(), sector.size());
    return sector;
  }
  uint32_t Cycle(uint64_t number) const {
    const auto sector = Sector(number);
    Bytes bytes(sector.data(), sector.size());
    return bytes.Be32(0) == kRecordMagic ? bytes.Be32(4) : bytes.Be32(0);
  }
  // The first sector that belongs to an earlier pass than the first one.
  uint64_t End() const {
    const uint32_t first = Cycle(0);
    if (Cycle(sectors_ - 1) == first) return sectors_;
    uint64_t low = 0;
    for (uint64_t high = sectors_ - 1; low + 1 < high;) {
      const uint64_t middle = (low + high) / 2;
      if (Cycle(middle) == first) low = middle;
      else high = middle;
    }
    return low + 1;
  }
  uint64_t sectors() const { return sectors_; }

 private:
  const Image& image_;
  const uint64_t offset_;
  const uint64_t sectors_;
};

}  // namespace

bool XfsLogIsDirty(const Image& image, uint64_t offset, uint64_t bytes) {
  if (bytes < 16 * kSector) Damaged("the log is too short");
  const Log log(image, offset, bytes);
  const uint64_t end = log.End();
  const uint64_t back = std::min(kRecordSectorsMax, log.sectors());
  for (uint64_t step = 1; step <= back; ++step) {
    const uint64_t number = (end + log.sectors() - step) % log.sectors();
    const auto sector = log.Sector(number);
    Bytes head(sector.data(), sector.size());
    if (head.Be32(0) != kRecordMagic) continue;
    const uint32_t room = head.Be32(8) >= 2 ? head.Be32(320) : 0;
    const uint64_t heads = room > 32768 ? (room + 32767) / 32768 : 1;
    const auto first = log.Sector(number + heads);
    // An unmount is a record of its own with this one thing in it.
    return !(head.Be32(40) == 1 && (first[9] & kUnmount) != 0);
  }
  // mkfs leaves nothing but zeros, or one record of an unmount.
  return log.Cycle(0) != 0 && end != log.sectors();
}

}  // namespace reader
