// Files of NTFS that stand for something else: reparse points as Windows makes them, also for Linux inside of it, and files of
// Interix, which ntfs-3g makes links and devices of.
#include "ntfs-volume.h"
#include "text.h"

namespace reader {

namespace {

constexpr uint32_t kJunction = 0xa0000003, kLink = 0xa000000c, kLinuxLink = 0xa000001d, kSocket = 0x80000023, kFifo = 0x80000024,
                   kCharacter = 0x80000025, kBlock = 0x80000026, kPacked = 0x80000017, kShared = 0x80000013;
constexpr size_t kReparseBytesMax = 16 << 10;
constexpr uint64_t kInterixBytesMax = 8 + 2 * kLinkBytesMax;

bool BeginsWith(std::string_view text, std::string_view head) { return text.substr(0, head.size()) == head; }

// A path of Windows as one of Linux. Which drive a letter means is not known here: it is taken for this one.
std::string PathOf(std::u16string_view units) {
  std::string path = FromUtf16(units);
  for (char& letter : path) {
    if (letter == '\\') letter = '/';
    if (letter == '\0') letter = '_';
  }
  if (BeginsWith(path, "/\?\?/") || BeginsWith(path, "//\?/")) path.erase(0, 3);
  if (BeginsWith(path, "/UNC/")) path.erase(1, 3);
  const size_t drive = BeginsWith(path, "/") ? 1 : 0;
  if (path.size() >= drive + 2 && path[drive + 1] == ':') path.erase(0, drive + 2);
  if (path.empty()) path = "/";
  if (path.size() > kLinkBytesMax) Damaged("a symbolic link is too long");
  return path;
}

void TakeDevice(const NtfsVolume& volume, const NtfsFile& file, NtfsStandIn* out);

void TakeReparse(const NtfsVolume& volume, const NtfsFile& file, const Bytes& data, uint32_t flags, NtfsStandIn* out) {
  const uint32_t tag = data.Le32(0);
  const Bytes body = data.Sub(8, data.Le16(4));
  switch (tag) {
    case kJunction:
    case kLink:
      out->kind = S_IFLNK;
      out->target = PathOf(NtfsText(body.From(tag == kLink ? 12 : 8), body.Le16(0), body.Le16(2) / 2));
      return;
    case kLinuxLink:
      out->kind = S_IFLNK;
      out->target = body.Text(4, body.size() - std::min<size_t>(4, body.size()));
      if (out->target.size() > kLinkBytesMax || out->target.find('\0') != std::string::npos) Damaged("a symbolic link is damaged");
      return;
    case kSocket: out->kind = S_IFSOCK; return;
    case kFifo: out->kind = S_IFIFO; return;
    case kCharacter:
    case kBlock:
      out->kind = tag == kBlock ? S_IFBLK : S_IFCHR;
      TakeDevice(volume, file, out);
      return;
    case kPacked: out->unreadable = "Windows has compressed it in a way that is not read here"; return;
    case kShared: out->unreadable = "Windows has moved its content to where files share it"; return;
    default:
      if (flags & kNtfsElsewhere) out->unreadable = "its content is not on this volume";
  }
}

// What Linux inside of Windows keeps of a device, in an extended attribute.
void TakeDevice(const NtfsVolume& volume, const NtfsFile& file, NtfsStandIn* out) {
  for (const NamedValue& attribute : NtfsExtended(volume, file)) {
    if (attribute.name != "$LXDEV" || attribute.value.size() < 8) continue;
    const Bytes value(reinterpret_cast<const uint8_t*>(attribute.value.data()), attribute.value.size());
    out->deviceMajor = value.Le32(0);
    out->deviceMinor = value.Le32(4);
  }
}

void TakeInterix(const NtfsVolume& volume, const NtfsFile& file, uint32_t flags, NtfsStandIn* out) {
  NtfsStream data;
  if (!volume.Find(file, kNtfsData, {}, &data) || data.size > kInterixBytesMax || data.encrypted) return;
  if (data.size <= 1) {
    if (!(flags & kNtfsHidden)) out->kind = data.size == 0 ? S_IFIFO : S_IFSOCK;
    return;
  }
  if (data.size < 8) return;
  const std::vector<uint8_t> raw = volume.Whole(data, kInterixBytesMax);
  const Bytes bytes(raw.data(), raw.size());
  const std::string head = bytes.Text(0, 8);
  if (head == std::string_view("IntxLNK\1", 8) && raw.size() > 8) {
    out->kind = S_IFLNK;
    out->target = FromUtf16(NtfsText(bytes, 8, (raw.size() - 8) / 2));
    if (out->target.size() > kLinkBytesMax || out->target.find('\0') != std::string::npos) Damaged("a symbolic link is damaged");
  } else if ((head == std::string_view("IntxCHR\0", 8) || head == std::string_view("IntxBLK\0", 8)) && raw.size() == 24) {
    out->kind = head[4] == 'C' ? S_IFCHR : S_IFBLK;
    out->deviceMajor = bytes.Le32(8);
    out->deviceMinor = bytes.Le32(16);
  }
}

}  // namespace

NtfsStandIn StandInOf(const NtfsVolume& volume, const NtfsFile& file, uint32_t flags) {
  NtfsStandIn out;
  NtfsStream reparse;
  if (flags & kNtfsHasReparse && volume.Find(file, kNtfsReparse, {}, &reparse)) {
    const std::vector<uint8_t> raw = volume.Whole(reparse, kReparseBytesMax);
    TakeReparse(volume, file, {raw.data(), raw.size()}, flags, &out);
  } else if (flags & kNtfsElsewhere) {
    out.unreadable = "its content is not on this volume";
  } else if (flags & kNtfsSystem && !file.isFolder) {
    TakeInterix(volume, file, flags, &out);
  }
  return out;
}

}  // namespace reader
