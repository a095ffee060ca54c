// The reader of NTFS: nodes are records of the file table with how often each was used. Owners and modes are what a mount by root
// shows without a map of users: access lists of Windows are not translated. Where Linux inside of Windows has written its own,
// they count.
#include <algorithm>

#include "ntfs-volume.h"

namespace reader {

namespace {

// Of names that are looked at to leave those of DOS out.
constexpr size_t kNamesMax = 64;

class Ntfs final : public FileSystem {
 public:
  explicit Ntfs(const Image& image) : volume_(image) {
    if (!volume_.File(kNtfsRoot).isFolder) Damaged("the root is no folder");
  }

  const Description& About() const override { return volume_.about(); }

  Attributes Stat(uint64_t node) override {
    const NtfsFile file = volume_.File(node);
    const std::vector<uint8_t> raw = Standard(file);
    const Bytes standard(raw.data(), raw.size());
    const uint32_t flags = standard.Le32(0x20);
    Attributes out;
    out.node = file.node;
    out.links = LinksOf(file);
    out.changed = NtfsTime(standard.Le64(16));
    out.modified = NtfsTime(standard.Le64(8));
    out.accessed = NtfsTime(standard.Le64(24));
    const NtfsStandIn standIn = StandInOf(volume_, file, flags);
    NtfsStream data;
    // As ntfs-3g does: what a folder has in its record counts as nothing, and a device as what it is written in.
    const bool found = file.isFolder ? volume_.Find(file, kNtfsIndexBlocks, u"$I30", &data) : volume_.Find(file, kNtfsData, {}, &data);
    if (found) out.usedBytes = data.usedBytes;
    out.size = standIn.kind == S_IFLNK ? standIn.target.size() : data.size;
    out.deviceMajor = standIn.deviceMajor;
    out.deviceMinor = standIn.deviceMinor;
    const uint32_t kind = standIn.kind != 0 ? standIn.kind : file.isFolder ? S_IFDIR : S_IFREG;
    out.mode = kind == S_IFLNK ? S_IFLNK | 0777 : kind | (flags & kNtfsReadOnly && !file.isFolder ? 0555 : 0755);
    TakeLinuxOwner(file, &out);
    return out;
  }

  uint64_t Lookup(uint64_t folder, std::string_view name) override { return LookupNtfs(volume_, Folder(folder), name); }

  void List(uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) override {
    ListNtfs(volume_, Folder(folder), position, take);
  }

  std::string ReadLink(uint64_t node) override {
    const NtfsFile file = volume_.File(node);
    const NtfsStandIn standIn = StandInOf(volume_, file, FlagsOf(file));
    if (standIn.kind != S_IFLNK) Fail(EINVAL, "it is no symbolic link");
    return standIn.target;
  }

  size_t Read(uint64_t node, uint64_t offset, uint8_t* out, size_t length) override {
    const NtfsStream data = DataOf(node);
    if (offset >= data.size) return 0;
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, data.size - offset));
    volume_.Read(data, offset, out, count);
    return count;
  }

  Range NextData(uint64_t node, uint64_t offset) override { return volume_.NextData(DataOf(node), offset); }

  Piece Locate(uint64_t node, uint64_t offset) override { return volume_.Locate(DataOf(node), offset); }

  std::vector<NamedValue> ExtendedAttributes(uint64_t node) override { return NtfsAttributes(volume_, volume_.File(node)); }

 private:
  std::vector<uint8_t> Standard(const NtfsFile& file) const {
    NtfsStream standard;
    if (!volume_.Find(file, kNtfsStandard, {}, &standard)) Damaged("a record of the file table is damaged");
    return volume_.Whole(standard, 4096);
  }
  uint32_t FlagsOf(const NtfsFile& file) const {
    const std::vector<uint8_t> raw = Standard(file);
    return Bytes(raw.data(), raw.size()).Le32(0x20);
  }

  // A junction is a folder on disk, and none for who looks at it.
  NtfsFile Folder(uint64_t node) const {
    NtfsFile file = volume_.File(node);
    if (!file.isFolder || (node != kNtfsRoot && StandInOf(volume_, file, FlagsOf(file)).kind != 0)) Fail(ENOTDIR, "it is no folder");
    return file;
  }

  NtfsStream DataOf(uint64_t node) const {
    const NtfsFile file = volume_.File(node);
    const NtfsStandIn standIn = StandInOf(volume_, file, FlagsOf(file));
    if (file.isFolder || standIn.kind != 0) Fail(EINVAL, "it is no file");
    if (!standIn.unreadable.empty()) Fail(EACCES, standIn.unreadable);
    NtfsStream data;
    volume_.Find(file, kNtfsData, {}, &data);
    return data;
  }

  // A name in the form of DOS belongs to a long one, and makes no link.
  uint32_t LinksOf(const NtfsFile& file) const {
    if (file.isFolder || file.names < 2) return 1;
    uint32_t dos = 0;
    size_t seen = 0;
    for (const NtfsPart& part : file.parts) {
      if (part.type != kNtfsName || ++seen > kNamesMax) continue;
      const NtfsStream name = volume_.Open(file, part);
      if (name.value.size() > 0x41 && name.value[0x41] == 2) ++dos;
    }
    return std::max(1u, file.names - std::min(dos, file.names));
  }

  void TakeLinuxOwner(const NtfsFile& file, Attributes* out) const {
    for (const NamedValue& attribute : NtfsExtended(volume_, file)) {
      if (attribute.value.size() != 4) continue;
      const uint32_t value = Bytes(reinterpret_cast<const uint8_t*>(attribute.value.data()), 4).Le32(0);
      if (attribute.name == "$LXUID") out->uid = value;
      if (attribute.name == "$LXGID") out->gid = value;
      // Only what Linux inside of Windows may set: what kind of file it is, NTFS itself has said.
      if (attribute.name == "$LXMOD" && !S_ISLNK(out->mode)) out->mode = (out->mode & S_IFMT) | (value & 07777);
    }
  }

  const NtfsVolume volume_;
};

}  // namespace

std::unique_ptr<FileSystem> OpenNtfs(const Image& image) {
  if (!NtfsVolume::IsOne(image)) return nullptr;
  return std::make_unique<Ntfs>(image);
}

}  // namespace reader
