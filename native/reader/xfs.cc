// The reader of XFS: nodes are numbers of inodes.
#include <algorithm>

#include "xfs-volume.h"

namespace reader {

namespace {

constexpr uint64_t kNanoseconds = 1000000000;

class Xfs final : public FileSystem {
 public:
  explicit Xfs(const Image& image) : volume_(image) {
    if (!volume_.Inode(volume_.about().root).IsFolder()) Damaged("the root is no folder");
  }

  const Description& About() const override { return volume_.about(); }

  Attributes Stat(uint64_t node) override {
    const XfsInode inode = volume_.Inode(node);
    Bytes raw = inode.bytes();
    Attributes out;
    out.node = node;
    out.mode = inode.mode();
    out.links = raw.U8(4) == 1 ? raw.Be16(6) : raw.Be32(16);
    out.uid = raw.Be32(8);
    out.gid = raw.Be32(12);
    out.size = SizeOf(inode);
    out.usedBytes = raw.Be64(64) * volume_.blockBytes();
    out.accessed = TimeOf(inode, 32);
    out.modified = TimeOf(inode, 40);
    out.changed = TimeOf(inode, 48);
    if (S_ISCHR(out.mode) || S_ISBLK(out.mode)) {
      const uint32_t device = volume_.Fork(inode, XfsFork::kData).Be32(0);
      out.deviceMajor = device >> 18;
      out.deviceMinor = device & 0x3ffff;
    }
    return out;
  }

  uint64_t Lookup(uint64_t folder, std::string_view name) override {
    return LookupXfs(volume_, volume_.Inode(folder), name);
  }

  void List(uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) override {
    ListXfs(volume_, volume_.Inode(folder), position, take);
  }

  std::string ReadLink(uint64_t node) override {
    const XfsInode inode = volume_.Inode(node);
    if (!S_ISLNK(inode.mode())) Fail(EINVAL, "it is no symbolic link");
    if (inode.size() > kLinkBytesMax) Damaged("a symbolic link is too long");
    const auto size = static_cast<size_t>(inode.size());
    if (volume_.FormatOf(inode, XfsFork::kData) == XfsFormat::kLocal) return volume_.Fork(inode, XfsFork::kData).Text(0, size);
    std::string target;
    for (uint64_t block = 0; target.size() < size;) {
      // Each run of blocks has a head and a checksum of its own. The longest target needs no more than nine blocks.
      const Run run = volume_.FindRun(inode, XfsFork::kData, block);
      if (run.first != block || run.count > kLinkBytesMax / 512 + 1) Damaged("a symbolic link is damaged");
      const auto count = static_cast<uint32_t>(run.count);
      const std::vector<uint8_t> raw = volume_.ForkBlocks(inode, XfsFork::kData, block, count);
      block += count;
      Bytes bytes(raw.data(), raw.size());
      size_t head = 0;
      if (volume_.fifth()) {
        head = 56;
        if (bytes.Be32(0) != 0x58534c4d) Damaged("a symbolic link is damaged");
        volume_.Check(bytes, 12);
      }
      target += bytes.Text(head, std::min(size - target.size(), bytes.size() - head));
    }
    return target;
  }

  size_t Read(uint64_t node, uint64_t offset, uint8_t* out, size_t length) override {
    const XfsInode inode = volume_.Inode(node);
    if (!S_ISREG(inode.mode())) Fail(EINVAL, "it is no file");
    const uint64_t size = SizeOf(inode);
    if (offset >= size) return 0;
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, size - offset));
    ReadXfsFile(volume_, inode, offset, out, count);
    return count;
  }

  Range NextData(uint64_t node, uint64_t offset) override {
    const XfsInode inode = volume_.Inode(node);
    const uint64_t size = SizeOf(inode);
    if (!S_ISREG(inode.mode())) return {offset, offset < size ? size - offset : 0};
    return NextDataInRuns(volume_.blockBytes(), size, offset, [&](uint64_t block) { return volume_.FindRun(inode, XfsFork::kData, block); });
  }

  Piece Locate(uint64_t node, uint64_t offset) override {
    const XfsInode inode = volume_.Inode(node);
    if (!S_ISREG(inode.mode())) Fail(EINVAL, "it is no file");
    if (inode.flags() & 1) Fail(ENOTSUP, "the file is on a realtime device");
    auto find = [&](uint64_t block) { return volume_.FindRun(inode, XfsFork::kData, block); };
    return LocateInRuns(volume_.blockBytes(), offset, find, [&](const Run& run) { return volume_.PlaceOf(run); });
  }

  std::vector<NamedValue> ExtendedAttributes(uint64_t node) override {
    return XfsAttributes(volume_, volume_.Inode(node));
  }

 private:
  static uint64_t SizeOf(const XfsInode& inode) {
    if (inode.size() > kFileBytesMax) Damaged("a file is larger than a file can be");
    return inode.size();
  }

  static Time TimeOf(const XfsInode& inode, size_t at) {
    if (inode.moreFlags() & 8) {
      const uint64_t since1901 = inode.bytes().Be64(at);
      return {static_cast<int64_t>(since1901 / kNanoseconds) - (int64_t{1} << 31),
              static_cast<uint32_t>(since1901 % kNanoseconds)};
    }
    return {static_cast<int32_t>(inode.bytes().Be32(at)), inode.bytes().Be32(at + 4)};
  }

  const XfsVolume volume_;
};

}  // namespace

std::unique_ptr<FileSystem> OpenXfs(const Image& image) {
  if (!XfsVolume::IsOne(image)) return nullptr;
  return std::make_unique<Xfs>(image);
}

}  // namespace reader
