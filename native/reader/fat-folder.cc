// Folders of FAT: entries with short names, and long names in the entries before them.
#include <algorithm>

#include "fat-text.h"
#include "fat-volume.h"
#include "text.h"

namespace reader {

namespace {

constexpr uint8_t kLastPart = 0x40;
constexpr size_t kPartsMax = 20;
constexpr size_t kUnitsOfPart = 13;

// The long name that is being put together, from its last part to its first.
class LongName {
 public:
  void Add(const Bytes& raw) {
    const uint8_t order = raw.U8(0);
    const size_t number = order & 0x3f;
    if (order & kLastPart) {
      units_.assign(number * kUnitsOfPart, 0);
      check_ = raw.U8(13);
      expected_ = number;
    }
    if (number == 0 || number > kPartsMax || number != expected_ || raw.U8(13) != check_) {
      Clear();
      return;
    }
    static constexpr uint8_t places[kUnitsOfPart] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    for (size_t unit = 0; unit < kUnitsOfPart; ++unit) units_[(number - 1) * kUnitsOfPart + unit] = static_cast<char16_t>(raw.Le16(places[unit]));
    expected_ = number - 1;
  }

  void Clear() {
    units_.clear();
    expected_ = kPartsMax + 1;
  }

  // Empty where there is none, or it belongs to another entry.
  std::string TextFor(const Bytes& raw) const {
    if (units_.empty() || expected_ != 0 || check_ != SumOf(raw)) return {};
    return FromUtf16(std::u16string_view(units_).substr(0, units_.find(u'\0')));
  }

 private:
  static uint8_t SumOf(const Bytes& raw) {
    uint8_t sum = 0;
    for (size_t at = 0; at < 11; ++at) sum = static_cast<uint8_t>((sum << 7 | sum >> 1) + raw.U8(at));
    return sum;
  }

  std::u16string units_;
  size_t expected_ = kPartsMax + 1;  // the part that has to come next; 0: all are there
  uint8_t check_ = 0;
};

std::string ShortName(const Bytes& raw) {
  std::string base = raw.Text(0, 8);
  if (base[0] == 0x05) base[0] = static_cast<char>(0xe5);
  std::string extension = raw.Text(8, 3);
  for (std::string* part : {&base, &extension}) part->erase(part->find_last_not_of(' ') + 1);
  const uint8_t lower = raw.U8(12);
  std::string name = FromPage437(base, (lower & 0x08) != 0);
  if (!extension.empty()) name += "." + FromPage437(extension, (lower & 0x10) != 0);
  return name;
}

bool IsDots(const Bytes& raw) {
  const std::string name = raw.Text(0, 11);
  return name == ".          " || name == "..         ";
}

}  // namespace

void ListFat(const FatVolume& volume, uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) {
  LongName longName;
  volume.clusters().Records(volume.FolderStream(folder), position / 32 * 32, [&](uint64_t offset, uint64_t place, const Bytes& raw) {
    const FatRecord record(raw);
    if (record.ends()) return false;
    if (record.isPartOfName() && !record.isDeleted()) {
      longName.Add(raw);
      return true;
    }
    bool more = true;
    if (record.isFile() && !IsDots(raw)) {
      std::string name = longName.TextFor(raw);
      if (name.empty()) name = ShortName(raw);
      const uint32_t kind = record.isFolder() ? S_IFDIR : S_IFREG;
      more = take({UsableName(std::move(name)), place, kind, offset + 32});
    }
    longName.Clear();
    return more;
  });
}

}  // namespace reader
