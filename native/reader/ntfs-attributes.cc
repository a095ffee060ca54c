// Extended attributes of NTFS: named streams of a file, which ntfs-3g shows as attributes of users, and those that Linux itself
// or Linux inside of Windows has written, which NTFS keeps in a list.
#include "ntfs-volume.h"
#include "text.h"

namespace reader {

namespace {

constexpr size_t kListBytesMax = 64 << 10;
// Of all streams of a file that are shown, so that one answer is bounded.
constexpr size_t kStreamsBytesMax = 1 << 20;
// To open one takes a look at all parts of the file.
constexpr size_t kStreamsMax = 1024;

bool IsShown(std::string_view name) {
  for (std::string_view prefix : {"user.", "trusted.", "security.", "system.posix_acl_"}) {
    if (name.size() > prefix.size() && name.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

}  // namespace

std::vector<NamedValue> NtfsExtended(const NtfsVolume& volume, const NtfsFile& file) {
  std::vector<NamedValue> all;
  NtfsStream stream;
  if (!volume.Find(file, kNtfsExtended, {}, &stream)) return all;
  const std::vector<uint8_t> raw = volume.Whole(stream, kListBytesMax);
  const Bytes list(raw.data(), raw.size());
  for (size_t at = 0; at + 8 < list.size();) {
    const Bytes entry = list.From(at);
    const size_t nameBytes = entry.U8(5);
    all.push_back({entry.Text(8, nameBytes), entry.Text(9 + nameBytes, entry.Le16(6))});
    const size_t next = entry.Le32(0);
    // The next one lies behind this one: of entries that overlap, a list of the same length could hold far more bytes than it is long.
    if (next < 9 + nameBytes + entry.Le16(6)) break;
    at += next;
  }
  return all;
}

std::vector<NamedValue> NtfsAttributes(const NtfsVolume& volume, const NtfsFile& file) {
  std::vector<NamedValue> all;
  size_t bytes = 0;
  size_t streams = 0;
  for (const NtfsPart& part : file.parts) {
    if (part.type != kNtfsData || part.name.empty() || part.first != 0) continue;
    if (++streams > kStreamsMax) Fail(E2BIG, "the file has more streams than can be shown");
    const NtfsStream stream = volume.Open(file, part);
    // Longer ones can't be attributes; ones that nobody can read would hide those that can be.
    if (stream.size > kAttributeBytesMax || stream.encrypted) continue;
    bytes += static_cast<size_t>(stream.size);
    if (bytes > kStreamsBytesMax) Fail(E2BIG, "the file has more streams than can be shown");
    const std::vector<uint8_t> value = volume.Whole(stream, kAttributeBytesMax);
    all.push_back({"user." + FromUtf16(part.name), {value.begin(), value.end()}});
  }
  for (NamedValue& attribute : NtfsExtended(volume, file)) {
    if (IsShown(attribute.name)) all.push_back(std::move(attribute));
  }
  return all;
}

}  // namespace reader
