// Reads the log of ext3 and ext4: see ext-journal.h.
#include "ext-journal.h"

#include "crc32c.h"

namespace reader {

namespace {

constexpr uint32_t kMagic = 0xc03b3998;
enum : uint32_t { kDescriptor = 1, kCommit = 2, kSuperOld = 3, kSuper = 4, kRevoke = 5 };
enum : uint32_t { k64Bit = 2, kChecksum2 = 8, kChecksum3 = 16, kFastCommit = 32 };
enum : uint32_t { kMasked = 1, kSameUuid = 2, kLastTag = 8 };
constexpr uint16_t kFastCommitHead = 9;
// 2 GiB of a journal with blocks of 4 KiB: more than any mkfs makes.
constexpr uint32_t kJournalBlocksMax = 1 << 19;

}  // namespace

ExtJournal::ExtJournal(ExtVolume& volume, uint32_t inode) : volume_(volume), inode_(volume.Inode(inode)) {
  if (inode == 0) Fail(ENOTSUP, "it is on another device");
  std::vector<uint8_t> raw(volume_.blockBytes());
  Read(0, raw);
  Bytes super(raw.data(), raw.size());
  const uint32_t type = super.Be32(4);
  if (super.Be32(0) != kMagic || (type != kSuper && type != kSuperOld)) Damaged("its head is damaged");
  if (super.Be32(12) != volume_.blockBytes()) Damaged("its block size is another one");
  end_ = super.Be32(16);
  first_ = super.Be32(20);
  sequence_ = super.Be32(24);
  start_ = super.Be32(28);
  features_ = type == kSuper ? super.Be32(40) : 0;
  if ((features_ & ~(1 | k64Bit | 4 | kChecksum2 | kChecksum3 | kFastCommit)) != 0) Fail(ENOTSUP, "its features are not known");
  if (features_ & (kChecksum2 | kChecksum3)) {
    seed_ = Crc32c(~0u, raw.data() + 48, 16);
    std::vector<uint8_t> blank(raw.begin(), raw.begin() + 1024);
    memset(blank.data() + 0xfc, 0, 4);
    if (Crc32c(~0u, blank.data(), blank.size()) != super.Be32(0xfc)) Damaged("its head is damaged");
  }
  if (features_ & kFastCommit) {
    const uint32_t blocks = super.Be32(0x54) == 0 ? 256 : super.Be32(0x54);
    if (blocks >= end_) Damaged("its head is damaged");
    end_ -= blocks;
  }
  if (first_ == 0 || first_ >= end_ || start_ >= end_ || end_ > kJournalBlocksMax) Damaged("its head is damaged");
}

uint64_t ExtJournal::Read(uint32_t number, std::vector<uint8_t>& out) const {
  Run run = FindRun(volume_, inode_, number);
  if (run.block == 0) Damaged("it has a hole");
  const uint64_t block = run.block + (number - run.first);
  volume_.ReadData(block, 0, out.data(), out.size());
  return block;
}

bool ExtJournal::TailFits(const std::vector<uint8_t>& block) const {
  if (!(features_ & (kChecksum2 | kChecksum3))) return true;
  std::vector<uint8_t> blank = block;
  memset(blank.data() + blank.size() - 4, 0, 4);
  return Crc32c(seed_, blank.data(), blank.size()) == Bytes(block.data(), block.size()).Be32(block.size() - 4);
}

bool ExtJournal::ReadTags(const std::vector<uint8_t>& block, uint32_t sequence, uint32_t* number,
                          std::vector<Tag>* tags) const {
  if (!TailFits(block)) return false;
  Bytes bytes(block.data(), block.size());
  const bool third = features_ & kChecksum3;
  const size_t tagBytes = third ? 16 : (features_ & k64Bit ? 12 : 8);
  const size_t end = block.size() - (features_ & (kChecksum2 | kChecksum3) ? 4 : 0);
  std::vector<uint8_t> copy(volume_.blockBytes());
  for (size_t at = 12; at + tagBytes <= end;) {
    Tag tag{};
    tag.block = bytes.Be32(at);
    tag.flags = third ? bytes.Be32(at + 4) : bytes.Be16(at + 6);
    if (features_ & k64Bit) tag.block |= uint64_t{bytes.Be32(at + 8)} << 32;
    *number = Next(*number);
    tag.place = Read(*number, copy);
    if (features_ & (kChecksum2 | kChecksum3)) {
      const uint32_t swapped = __builtin_bswap32(sequence);
      uint32_t crc = Crc32c(seed_, reinterpret_cast<const uint8_t*>(&swapped), 4);
      crc = Crc32c(crc, copy.data(), copy.size());
      if (third ? crc != bytes.Be32(at + 12) : (crc & 0xffff) != bytes.Be16(at + 4)) return false;
    }
    tags->push_back(tag);
    at += tagBytes + (tag.flags & kSameUuid ? 0 : 16);
    if (tag.flags & kLastTag) return true;
  }
  return true;
}

void ExtJournal::ReadRevokes(const std::vector<uint8_t>& block, std::vector<uint64_t>* revokes) const {
  if (!TailFits(block)) return;
  Bytes bytes(block.data(), block.size());
  const size_t end = std::min<size_t>(bytes.Be32(12), block.size());
  const size_t each = features_ & k64Bit ? 8 : 4;
  for (size_t at = 16; at + each <= end; at += each) {
    revokes->push_back(each == 8 ? bytes.Be64(at) : bytes.Be32(at));
  }
  if (revokes->size() > kJournalBlocksMax) Damaged("it holds more than it can");
}

void ExtJournal::FindFastCommits(uint32_t sequence) {
  if (!(features_ & kFastCommit)) return;
  std::vector<uint8_t> block(volume_.blockBytes());
  Read(end_ + 1, block);
  Bytes head(block.data(), block.size());
  fastCommits_ = head.Le16(0) == kFastCommitHead && head.Le32(8) == sequence;
}

void ExtJournal::Collect() {
  if (start_ == 0) {
    FindFastCommits(sequence_);
    return;
  }
  struct Held {
    Tag tag;
    uint32_t sequence;
  };
  std::vector<Held> committed;
  std::vector<Held> open;
  std::vector<uint64_t> revokes;
  std::vector<uint8_t> block(volume_.blockBytes());
  uint32_t number = start_;
  uint32_t sequence = sequence_;
  // A step goes at least one block on: the journal is passed once at most.
  for (uint32_t step = 0; step < end_; ++step, number = Next(number)) {
    Read(number, block);
    Bytes head(block.data(), block.size());
    if (head.Be32(0) != kMagic || head.Be32(8) != sequence) break;
    const uint32_t type = head.Be32(4);
    if (type == kDescriptor) {
      std::vector<Tag> tags;
      const uint32_t before = number;
      if (!ReadTags(block, sequence, &number, &tags)) break;
      step += number >= before ? number - before : end_ - before + number - first_;
      for (const Tag& tag : tags) open.push_back({tag, sequence});
    } else if (type == kRevoke) {
      ReadRevokes(block, &revokes);
    } else if (type == kCommit) {
      committed.insert(committed.end(), open.begin(), open.end());
      open.clear();
      for (uint64_t revoked : revokes) revoked_[revoked] = sequence;
      revokes.clear();
      ++sequence;
    } else {
      break;
    }
    if (committed.size() + open.size() + revoked_.size() > 2 * kJournalBlocksMax) Damaged("it holds more than it can");
  }
  FindFastCommits(sequence);
  for (const auto& [tag, of] : committed) {
    auto revoked = revoked_.find(tag.block);
    // Sequences go round: what comes later is greater by less than half of them.
    if (revoked != revoked_.end() && static_cast<int32_t>(revoked->second - of) >= 0) continue;
    volume_.moved_[tag.block] = {tag.place, (tag.flags & kMasked) != 0};
  }
}

}  // namespace reader
