// Boot sector, file table and records of NTFS: see ntfs-volume.h.
#include "ntfs-volume.h"

#include <algorithm>

#include "text.h"

namespace reader {

namespace {

constexpr size_t kBootBytes = 512;
constexpr size_t kSector = 512;
constexpr size_t kCacheBytes = 8 << 20;
constexpr size_t kCacheBlockBytes = 4096;
// What a list of attributes may take; Windows keeps to it, too.
constexpr size_t kListBytesMax = 256 << 10;
// Pieces of the file table: far more than any defragmenter has seen.
constexpr size_t kTableRunsMax = 128 << 10;
constexpr uint64_t kTableBytesMax = uint64_t{1} << 44;
constexpr uint16_t kInUse = 1;
constexpr uint16_t kIsFolder = 2;

constexpr uint64_t RecordOf(uint64_t reference) { return reference & 0xffffffffffff; }

// Sizes in the boot sector: a number of clusters, or a power of two of bytes below zero.
uint64_t SizeOf(uint8_t coded, uint64_t clusterBytes) {
  const auto value = static_cast<int8_t>(coded);
  if (value > 0) return static_cast<uint64_t>(value) * clusterBytes;
  return value >= -31 ? uint64_t{1} << -value : 0;
}

bool IsPower(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

}  // namespace

bool UnmarkSectors(uint8_t* bytes, size_t size) {
  const Bytes raw(bytes, size);
  const size_t at = raw.Le16(4);
  const size_t sectors = size / kSector;
  if (raw.Le16(6) != sectors + 1 || at % 2 != 0 || at + (sectors + 1) * 2 > kSector - 2) return false;
  for (size_t sector = 0; sector < sectors; ++sector) {
    uint8_t* end = bytes + (sector + 1) * kSector - 2;
    if (memcmp(end, bytes + at, 2) != 0) return false;
    memcpy(end, bytes + at + 2 + sector * 2, 2);
  }
  return true;
}

void EachAttribute(const Bytes& record, const std::function<bool(const Bytes&)>& take) {
  const size_t end = std::min<size_t>(record.Le32(0x18), record.size());
  for (size_t at = record.Le16(0x14); at + 4 <= end && record.Le32(at) != ~0u;) {
    const size_t length = record.Le32(at + 4);
    if (length < 24 || length % 8 != 0 || length > end - at) Damaged("a record is damaged");
    if (!take(record.Sub(at, length))) return;
    at += length;
  }
}

void EachNtfsRun(const Bytes& attribute, const std::function<bool(const Run&)>& take) {
  Run run;
  run.first = attribute.Le64(0x10);
  uint64_t place = 0;
  for (size_t at = attribute.Le16(0x20); at < attribute.size() && attribute.U8(at) != 0;) {
    const size_t countBytes = attribute.U8(at) & 15;
    const size_t placeBytes = attribute.U8(at) >> 4;
    if (countBytes == 0 || countBytes > 8 || placeBytes > 8) Damaged("a list of runs is damaged");
    const Bytes raw = attribute.Sub(at + 1, countBytes + placeBytes);
    uint64_t count = 0;
    for (size_t byte = countBytes; byte > 0; --byte) count = count << 8 | raw.U8(byte - 1);
    uint64_t step = placeBytes > 0 && (raw.U8(countBytes + placeBytes - 1) & 0x80) ? ~uint64_t{0} : 0;
    for (size_t byte = placeBytes; byte > 0; --byte) step = step << 8 | raw.U8(countBytes + byte - 1);
    if (placeBytes > 0) place += step;
    if (count == 0 || count >= kEndless || run.first >= kEndless || place >= kEndless) Damaged("a list of runs is damaged");
    run.count = count;
    run.block = placeBytes == 0 ? 0 : place + 1;
    if (!take(run)) return;
    run.first += count;
    at += 1 + countBytes + placeBytes;
  }
}

Time NtfsTime(uint64_t since1601) {
  return {static_cast<int64_t>(since1601 / 10000000) - 11644473600, static_cast<uint32_t>(since1601 % 10000000) * 100};
}

std::u16string NtfsText(const Bytes& bytes, size_t at, size_t units) {
  if (units == 0) return {};
  const Bytes text = bytes.Sub(at, units * 2);
  std::u16string out(units, u'\0');
  memcpy(out.data(), text.data(), units * 2);
  return out;
}

bool NtfsVolume::IsOne(const Image& image) {
  if (image.size() < kBootBytes) return false;
  uint8_t head[11];
  image.Read(0, head, sizeof(head));
  return memcmp(head + 3, "NTFS    ", 8) == 0;
}

NtfsVolume::NtfsVolume(const Image& image) : image_(image) {
  ReadBoot();
  records_ = std::make_unique<BlockCache>(
      blockRecords_ * recordBytes_, kCacheBytes / (blockRecords_ * recordBytes_),
      [this](uint64_t block, std::vector<uint8_t>& out) { LoadRecords(block, out); });
  OpenTable();
  ReadUpper();
  Describe();
}

void NtfsVolume::ReadBoot() {
  std::vector<uint8_t> raw(kBootBytes);
  image_.Read(0, raw.data(), raw.size());
  const Bytes boot(raw.data(), raw.size());
  const uint64_t sector = boot.Le16(11);
  const uint8_t each = boot.U8(13);
  const uint64_t sectorsEach = each <= 128 ? each : each >= 0xf0 ? uint64_t{1} << (256 - each) : 0;
  const uint64_t cluster = sector * sectorsEach;
  if (!IsPower(sector) || sector < 256 || sector > 4096 || !IsPower(cluster) || cluster < 512 || cluster > (2 << 20))
    Damaged("the boot sector is damaged");
  clusterBytes_ = static_cast<uint32_t>(cluster);
  const uint64_t record = SizeOf(boot.U8(0x40), cluster);
  if (!IsPower(record) || record < 512 || record > 65536) Damaged("the boot sector is damaged");
  recordBytes_ = static_cast<uint32_t>(record);
  blockRecords_ = static_cast<uint32_t>(std::max<uint64_t>(1, kCacheBlockBytes / record));
  const uint64_t sectors = boot.Le64(0x28);
  if (sectors > (uint64_t{1} << 55)) Damaged("the boot sector is damaged");
  clusters_ = sectors / sectorsEach;
  tableAt_ = boot.Le64(0x30);
  if (tableAt_ == 0 || tableAt_ >= clusters_) Damaged("the boot sector is damaged");
  static const char* digits = "0123456789ABCDEF";
  for (int shift = 60; shift >= 0; shift -= 4) about_.uuid += digits[(boot.Le64(0x48) >> shift) & 15];
  about_.kind = "ntfs";
  about_.root = kNtfsRoot;
  about_.blockBytes = clusterBytes_;
  about_.totalBytes = clusters_ * clusterBytes_;
}

// The table is a file of its own: its first record tells where the next ones are.
void NtfsVolume::OpenTable() {
  std::vector<uint8_t> raw(recordBytes_);
  image_.Read(tableAt_ * clusterBytes_, raw.data(), raw.size());
  if (memcmp(raw.data(), "FILE", 4) != 0 || !UnmarkSectors(raw.data(), raw.size())) Damaged("the file table is damaged");
  const Bytes record(raw.data(), raw.size());
  auto add = [this](const Bytes& attribute) {
    EachNtfsRun(attribute, [this](const Run& run) {
      const uint64_t known = table_.empty() ? 0 : table_.back().first + table_.back().count;
      if (run.first != known || run.block == 0 || table_.size() >= kTableRunsMax) Damaged("the file table is damaged");
      table_.push_back(run);
      return true;
    });
  };
  EachAttribute(record, [&](const Bytes& attribute) {
    if (attribute.Le32(0) != kNtfsData || attribute.U8(8) == 0 || attribute.U8(9) != 0) return true;
    tableBytes_ = std::min(attribute.Le64(0x30), attribute.Le64(0x38));
    add(attribute);
    return false;
  });
  if (table_.empty() || tableBytes_ > kTableBytesMax) Damaged("the file table is damaged");
  NtfsFile table;
  table.record = 0;
  ListParts(record, &table);
  std::erase_if(table.parts, [](const NtfsPart& part) { return part.type != kNtfsData || !part.name.empty() || part.first == 0; });
  std::sort(table.parts.begin(), table.parts.end(), [](const NtfsPart& a, const NtfsPart& b) { return a.first < b.first; });
  for (const NtfsPart& part : table.parts) {
    Holder holder{nullptr, {nullptr, 0}};
    add(AttributeOf(0, part, &holder));
  }
}

void NtfsVolume::LoadRecords(uint64_t block, std::vector<uint8_t>& out) const {
  const uint64_t offset = block * out.size();
  if (offset >= tableBytes_) Fail(ENOENT, "there is no such node");
  const auto count = static_cast<size_t>(std::min<uint64_t>(out.size(), tableBytes_ - offset));
  auto find = [this](uint64_t cluster) {
    auto behind = std::upper_bound(table_.begin(), table_.end(), cluster, [](uint64_t wanted, const Run& run) { return wanted < run.first; });
    if (behind == table_.begin()) Damaged("the file table is damaged");
    return *(behind - 1);
  };
  auto read = [this](uint64_t place, uint64_t skip, uint8_t* to, size_t bytes) { ReadPlaces(place, skip, to, bytes); };
  ReadRuns(clusterBytes_, offset, out.data(), count, find, read);
  for (size_t at = 0; at < count; at += recordBytes_) {
    // One that is damaged is kept as one that nobody can take for whole: its neighbours are not to blame.
    if (memcmp(out.data() + at, "FILE", 4) == 0 && !UnmarkSectors(out.data() + at, recordBytes_)) memcpy(out.data() + at, "BAAD", 4);
  }
}

NtfsVolume::Holder NtfsVolume::Record(uint64_t number) const {
  if (number >= tableBytes_ / recordBytes_) Fail(ENOENT, "there is no such node");
  Block block = records_->Get(number / blockRecords_);
  const Bytes record = In(block).Sub(number % blockRecords_ * recordBytes_, recordBytes_);
  if (record.Text(0, 4) != "FILE") {
    if (record.Text(0, 4) == "BAAD") Damaged("a record of the file table is damaged");
    Fail(ENOENT, "the record is not in use");
  }
  return {block, record};
}

NtfsFile NtfsVolume::File(uint64_t node) const {
  NtfsFile file;
  file.record = node & 0xffffffff;
  const Holder holder = Record(file.record);
  const uint16_t flags = holder.record.Le16(0x16);
  const uint64_t use = holder.record.Le16(0x10);
  if (!(flags & kInUse) || holder.record.Le64(0x20) != 0) Fail(ENOENT, "the record is not in use");
  // The name is older than the file, or the other way round.
  if (node >> 32 != 0 && node >> 32 != use) Damaged("the name belongs to a file that is no more");
  file.node = file.record | (file.record == kNtfsRoot ? 0 : use << 32);
  file.names = holder.record.Le16(0x12);
  file.isFolder = (flags & kIsFolder) != 0;
  ListParts(holder.record, &file);
  return file;
}

void NtfsVolume::ListParts(const Bytes& record, NtfsFile* file) const {
  bool listed = false;
  EachAttribute(record, [&](const Bytes& attribute) {
    NtfsPart part{attribute.Le32(0), attribute.Le16(14), NtfsText(attribute, attribute.Le16(10), attribute.U8(9)),
                  attribute.U8(8) != 0 ? attribute.Le64(0x10) : 0, file->record};
    listed = part.type == kNtfsList;
    if (listed) FollowList(attribute, file);
    else file->parts.push_back(std::move(part));
    return !listed;
  });
}

// A list names every attribute, also those of the record that it is in.
void NtfsVolume::FollowList(const Bytes& attribute, NtfsFile* file) const {
  NtfsStream stream;
  stream.file = file->record;
  std::vector<uint8_t> raw;
  if (attribute.U8(8) == 0) {
    const Bytes value = attribute.Sub(attribute.Le16(0x14), attribute.Le32(0x10));
    raw.assign(value.data(), value.data() + value.size());
  } else {
    const uint64_t size = attribute.Le64(0x30);
    if (size > kListBytesMax) Damaged("a list of attributes is damaged");
    raw.resize(static_cast<size_t>(size));
    auto find = [&](uint64_t cluster) {
      Run found;
      EachNtfsRun(attribute, [&](const Run& run) {
        found = run;
        return run.first + run.count <= cluster;
      });
      return found;
    };
    auto read = [this](uint64_t place, uint64_t skip, uint8_t* to, size_t bytes) { ReadPlaces(place, skip, to, bytes); };
    ReadRuns(clusterBytes_, 0, raw.data(), raw.size(), find, read);
  }
  const Bytes list(raw.data(), raw.size());
  file->parts.clear();
  for (size_t at = 0; at + 26 <= list.size();) {
    const size_t length = list.Le16(at + 4);
    if (length < 26 || length > list.size() - at) Damaged("a list of attributes is damaged");
    const Bytes entry = list.Sub(at, length);
    if (entry.Le32(0) != kNtfsList)
      file->parts.push_back({entry.Le32(0), entry.Le16(24), NtfsText(entry, entry.U8(7), entry.U8(6)), entry.Le64(8), RecordOf(entry.Le64(16))});
    at += length;
  }
}

Bytes NtfsVolume::AttributeOf(uint64_t file, const NtfsPart& part, Holder* holder) const {
  *holder = Record(part.record);
  const bool belongs = part.record == file || (holder->record.Le16(0x16) & kInUse && RecordOf(holder->record.Le64(0x20)) == file);
  if (!belongs) Damaged("a list of attributes is damaged");
  Bytes found(nullptr, 0);
  EachAttribute(holder->record, [&](const Bytes& attribute) {
    const bool same = attribute.Le32(0) == part.type && attribute.Le16(14) == part.instance && attribute.U8(9) == part.name.size();
    if (same) found = attribute;
    return !same;
  });
  if (found.size() == 0) Damaged("a list of attributes is damaged");
  return found;
}

bool NtfsVolume::Find(const NtfsFile& file, uint32_t type, std::u16string_view name, NtfsStream* out) const {
  for (const NtfsPart& part : file.parts) {
    if (part.type != type || part.name != name || part.first != 0) continue;
    *out = Open(file, part);
    return true;
  }
  return false;
}

NtfsStream NtfsVolume::Open(const NtfsFile& file, const NtfsPart& first) const {
  Holder holder{nullptr, {nullptr, 0}};
  const Bytes attribute = AttributeOf(file.record, first, &holder);
  NtfsStream stream;
  stream.file = file.record;
  const uint16_t flags = attribute.Le16(12);
  stream.encrypted = (flags & 0x4000) != 0;
  stream.resident = attribute.U8(8) == 0;
  if (stream.resident) {
    const Bytes value = attribute.Sub(attribute.Le16(0x14), attribute.Le32(0x10));
    stream.value.assign(value.data(), value.data() + value.size());
    stream.size = stream.validBytes = value.size();
    // As much as stat(2) can say.
    stream.usedBytes = (stream.size + 511) / 512 * 512;
    return stream;
  }
  stream.size = attribute.Le64(0x30);
  stream.validBytes = std::min(attribute.Le64(0x38), stream.size);
  const uint16_t shift = attribute.Le16(0x22);
  stream.usedBytes = attribute.Le64(flags & 0x8001 && shift != 0 ? 0x40 : 0x28);
  if (stream.size > kFileBytesMax) Damaged("a file is larger than a file can be");
  if ((flags & 0xff) > 1) Fail(ENOTSUP, "the file is compressed in a way that is not known here");
  if (flags & 1 && shift != 0) {
    if (shift > 8 || (uint64_t{clusterBytes_} << shift) > (1 << 20)) Damaged("a file is damaged");
    stream.unitClusters = uint64_t{1} << shift;
  }
  for (const NtfsPart& part : file.parts) {
    if (part.type == first.type && part.name == first.name) stream.parts.push_back(part);
  }
  std::sort(stream.parts.begin(), stream.parts.end(), [](const NtfsPart& a, const NtfsPart& b) { return a.first < b.first; });
  return stream;
}

void NtfsVolume::ReadUpper() {
  // What a name is made of is compared as ASCII has it where the volume does not say.
  upper_.resize(65536);
  for (size_t letter = 0; letter < upper_.size(); ++letter) upper_[letter] = static_cast<char16_t>(letter >= 'a' && letter <= 'z' ? letter - 32 : letter);
  try {
    NtfsStream stream;
    if (!Find(File(10), kNtfsData, {}, &stream) || stream.size != upper_.size() * 2) return;
    const std::vector<uint8_t> raw = Whole(stream, upper_.size() * 2);
    memcpy(upper_.data(), raw.data(), raw.size());
  } catch (const Failure&) {
  }
}

void NtfsVolume::Describe() {
  try {
    NtfsStream name;
    if (Find(File(3), kNtfsVolumeName, {}, &name)) {
      const std::vector<uint8_t> raw = Whole(name, 512);
      about_.label = FromUtf16(NtfsText({raw.data(), raw.size()}, 0, raw.size() / 2));
    }
  } catch (const Failure&) {
  }
  about_.notes = NtfsNotes(*this);
}

}  // namespace reader
