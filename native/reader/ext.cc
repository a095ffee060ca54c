// The reader of ext2, ext3 and ext4: nodes are numbers of inodes.
#include <algorithm>

#include "ext-volume.h"

namespace reader {

namespace {

class Ext final : public FileSystem {
 public:
  explicit Ext(const Image& image) : volume_(image) {
    if (!volume_.Inode(volume_.about().root).IsFolder()) Damaged("the root is no folder");
  }

  const Description& About() const override { return volume_.about(); }

  Attributes Stat(uint64_t node) override {
    const ExtInode inode = volume_.Inode(node);
    Bytes raw = inode.bytes();
    Attributes out;
    out.node = node;
    out.mode = inode.mode();
    out.links = raw.Le16(0x1a);
    out.uid = raw.Le16(2) | uint32_t{raw.Le16(0x78)} << 16;
    out.gid = raw.Le16(0x18) | uint32_t{raw.Le16(0x7a)} << 16;
    out.size = SizeOf(inode);
    const uint64_t units = volume_.hasHugeFiles() && inode.flags() & kExtFlagHugeUnits ? volume_.blockBytes() : 512;
    out.usedBytes = (raw.Le32(0x1c) | (volume_.hasHugeFiles() ? uint64_t{raw.Le16(0x74)} << 32 : 0)) * units;
    // As the kernel counts: what lies in the inode takes its size.
    if (inode.flags() & kExtFlagInline && S_ISREG(out.mode)) out.usedBytes += (out.size + 511) / 512 * 512;
    out.accessed = TimeOf(inode, 8, 0x8c);
    out.changed = TimeOf(inode, 0xc, 0x84);
    out.modified = TimeOf(inode, 0x10, 0x88);
    if (S_ISCHR(out.mode) || S_ISBLK(out.mode)) {
      const uint32_t old = raw.Le32(0x28);
      const uint32_t wide = raw.Le32(0x2c);
      out.deviceMajor = old != 0 ? (old >> 8) & 255 : (wide & 0xfff00) >> 8;
      out.deviceMinor = old != 0 ? old & 255 : (wide & 255) | ((wide >> 12) & 0xfff00);
    }
    return out;
  }

  uint64_t Lookup(uint64_t folder, std::string_view name) override {
    return LookupExt(volume_, volume_.Inode(folder), name);
  }

  void List(uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) override {
    ListExt(volume_, volume_.Inode(folder), position, take);
  }

  std::string ReadLink(uint64_t node) override {
    const ExtInode inode = volume_.Inode(node);
    if (!S_ISLNK(inode.mode())) Fail(EINVAL, "it is no symbolic link");
    if (inode.flags() & kExtFlagEncrypted) Fail(EACCES, "the link is encrypted");
    const uint64_t size = inode.size();
    if (size > kLinkBytesMax) Damaged("a symbolic link is too long");
    if (IsShort(inode)) return inode.bytes().Text(0x28, static_cast<size_t>(size));
    std::string target(static_cast<size_t>(size), '\0');
    ReadExtFile(volume_, inode, 0, reinterpret_cast<uint8_t*>(target.data()), target.size());
    return target;
  }

  size_t Read(uint64_t node, uint64_t offset, uint8_t* out, size_t length) override {
    const ExtInode inode = volume_.Inode(node);
    if (!S_ISREG(inode.mode())) Fail(EINVAL, "it is no file");
    const uint64_t size = SizeOf(inode);
    if (offset >= size) return 0;
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, size - offset));
    ReadExtFile(volume_, inode, offset, out, count);
    return count;
  }

  Range NextData(uint64_t node, uint64_t offset) override {
    const ExtInode inode = volume_.Inode(node);
    const uint64_t size = SizeOf(inode);
    if (inode.flags() & kExtFlagInline || !S_ISREG(inode.mode())) return {offset, offset < size ? size - offset : 0};
    return NextDataInRuns(volume_.blockBytes(), size, offset, [&](uint64_t block) { return FindRun(volume_, inode, block); });
  }

  Piece Locate(uint64_t node, uint64_t offset) override {
    const ExtInode inode = volume_.Inode(node);
    if (!S_ISREG(inode.mode())) Fail(EINVAL, "it is no file");
    return LocateInExtFile(volume_, inode, offset, SizeOf(inode));
  }

  std::vector<NamedValue> ExtendedAttributes(uint64_t node) override {
    return ExtAttributes(volume_, volume_.Inode(node), false);
  }

 private:
  // What ext2 keeps in the upper half for other kinds is no size.
  uint64_t SizeOf(const ExtInode& inode) const {
    const uint64_t size = S_ISREG(inode.mode()) || S_ISDIR(inode.mode()) ? inode.size() : inode.bytes().Le32(4);
    if (size > kFileBytesMax) Damaged("a file is larger than a file can be");
    return size;
  }

  bool IsShort(const ExtInode& inode) const {
    if (inode.flags() & (kExtFlagExtents | kExtFlagInline)) return false;
    const uint32_t attributeUnits = inode.attributeBlock() != 0 ? volume_.blockBytes() / 512 : 0;
    return inode.size() < 60 && inode.bytes().Le32(0x1c) <= attributeUnits;
  }

  static Time TimeOf(const ExtInode& inode, size_t at, size_t extraAt) {
    Time time{static_cast<int32_t>(inode.bytes().Le32(at)), 0};
    if (extraAt + 4 > 128 + inode.extraBytes()) return time;
    const uint32_t extra = inode.bytes().Le32(extraAt);
    time.seconds += int64_t{extra & 3} << 32;
    time.nanoseconds = extra >> 2;
    return time;
  }

  const ExtVolume volume_;
};

}  // namespace

std::unique_ptr<FileSystem> OpenExt(const Image& image) {
  if (!ExtVolume::IsOne(image)) return nullptr;
  return std::make_unique<Ext>(image);
}

}  // namespace reader
