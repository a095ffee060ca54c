// The reader of FAT12, FAT16 and FAT32: nodes are the places of directory entries. Owners, modes and times are what a mount by
// root shows: FAT has no owners, and of modes only that a file must not be written.
#include <algorithm>

#include "fat-text.h"
#include "fat-volume.h"

namespace reader {

namespace {

class Fat final : public FileSystem {
 public:
  explicit Fat(const Image& image) : volume_(image) {}

  const Description& About() const override { return volume_.about(); }

  Attributes Stat(uint64_t node) override {
    Attributes out;
    out.node = node;
    if (node == kFatRoot) {
      out.mode = S_IFDIR | 0755;
      out.size = out.usedBytes = volume_.clusters().BytesOf(volume_.FolderStream(node));
      return out;
    }
    const std::vector<uint8_t> raw = volume_.Record(node);
    const FatRecord record({raw.data(), raw.size()});
    const FatStream stream = volume_.StreamOf(record);
    out.mode = record.isFolder() ? S_IFDIR | 0755 : record.attributes() & kFatReadOnly ? S_IFREG | 0555 : S_IFREG | 0755;
    out.size = volume_.clusters().BytesOf(stream);
    const uint64_t each = volume_.about().blockBytes;
    out.usedBytes = (out.size + each - 1) / each * each;
    // As Linux does: what FAT has is the time of creation, which is no time of change.
    out.modified = out.changed = FromDos(record.raw.Le16(24), record.raw.Le16(22));
    out.accessed = FromDos(record.raw.Le16(18), 0);
    return out;
  }

  uint64_t Lookup(uint64_t folder, std::string_view name) override {
    return FindInList([&](const auto& take) { ListFat(volume_, folder, 0, take); }, name);
  }

  void List(uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) override {
    ListFat(volume_, folder, position, take);
  }

  std::string ReadLink(uint64_t) override { Fail(EINVAL, "it is no symbolic link"); }

  size_t Read(uint64_t node, uint64_t offset, uint8_t* out, size_t length) override {
    const FatStream stream = FileStream(node);
    if (offset >= stream.bytes) return 0;
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, stream.bytes - offset));
    volume_.clusters().Read(stream, offset, out, count);
    return count;
  }

  Range NextData(uint64_t node, uint64_t offset) override {
    const uint64_t size = FileStream(node).bytes;
    return {offset, offset < size ? size - offset : 0};
  }

  Piece Locate(uint64_t node, uint64_t offset) override { return volume_.clusters().Locate(FileStream(node), offset); }

 private:
  FatStream FileStream(uint64_t node) const {
    if (node == kFatRoot) Fail(EINVAL, "it is no file");
    const std::vector<uint8_t> raw = volume_.Record(node);
    const FatRecord record({raw.data(), raw.size()});
    if (record.isFolder()) Fail(EINVAL, "it is no file");
    return volume_.StreamOf(record);
  }

  const FatVolume volume_;
};

}  // namespace

std::unique_ptr<FileSystem> OpenFat(const Image& image) {
  if (!FatVolume::IsOne(image)) return nullptr;
  return std::make_unique<Fat>(image);
}

}  // namespace reader
