// Extended attributes of XFS: short ones in the inode, leaves, and values in blocks of their own.
#include <algorithm>

#include "posix-acl.h"
#include "xfs-volume.h"

namespace reader {

namespace {

constexpr uint8_t kLocal = 1;
constexpr uint8_t kRoot = 2;
constexpr uint8_t kSecure = 4;
constexpr uint8_t kParent = 8;
constexpr uint8_t kIncomplete = 128;
constexpr int kLevelsMax = 6;
constexpr size_t kLeavesMax = 4096;
constexpr uint16_t kNodeMagic = 0xfebe, kNodeMagic3 = 0x3ebe, kLeafMagic = 0xfbee, kLeafMagic3 = 0x3bee;

// From XFS's own form.
std::string OpenAcl(const std::string& value) {
  Bytes acl(reinterpret_cast<const uint8_t*>(value.data()), value.size());
  PosixAcl out;
  const uint32_t count = acl.Be32(0);
  acl.Sub(4, size_t{count} * 12);
  for (size_t at = 4; at < 4 + size_t{count} * 12; at += 12) {
    out.Add(acl.Be32(at), acl.Be16(at + 8), acl.Be32(at + 4));
  }
  return out.bytes();
}

class Collector {
 public:
  Collector(const XfsVolume& volume, const XfsInode& inode) : volume_(volume), inode_(inode) {}

  std::vector<NamedValue> All() {
    Bytes fork = volume_.Fork(inode_, XfsFork::kAttributes);
    if (fork.size() == 0) return {};
    if (volume_.FormatOf(inode_, XfsFork::kAttributes) == XfsFormat::kLocal) Short(fork);
    // Room may be kept for attributes that are not there yet.
    else if (volume_.FindRun(inode_, XfsFork::kAttributes, 0).block != 0) Leaves();
    return std::move(all_);
  }

 private:
  void Add(uint8_t flags, const std::string& name, std::string value) {
    if (flags & (kParent | kIncomplete)) return;
    if (flags & kRoot && (name == "SGI_ACL_FILE" || name == "SGI_ACL_DEFAULT")) {
      all_.push_back({name == "SGI_ACL_FILE" ? "system.posix_acl_access" : "system.posix_acl_default", OpenAcl(value)});
    }
    const char* prefix = flags & kRoot ? "trusted." : flags & kSecure ? "security." : "user.";
    all_.push_back({prefix + name, std::move(value)});
  }

  void Short(const Bytes& fork) {
    const size_t count = fork.U8(2);
    for (size_t entry = 0, at = 4; entry < count; ++entry) {
      const size_t nameLength = fork.U8(at);
      const size_t valueLength = fork.U8(at + 1);
      Add(fork.U8(at + 2), fork.Text(at + 3, nameLength), fork.Text(at + 3 + nameLength, valueLength));
      at += 3 + nameLength + valueLength;
    }
  }

  std::vector<uint8_t> Node(uint64_t number) const {
    std::vector<uint8_t> raw = volume_.ForkBlocks(inode_, XfsFork::kAttributes, number, 1);
    if (volume_.fifth()) volume_.Check({raw.data(), raw.size()}, 12);
    return raw;
  }

  // Down to the leftmost leaf, then from leaf to leaf.
  void Leaves() {
    uint64_t number = 0;
    std::vector<uint8_t> raw = Node(number);
    for (int level = 0;; ++level) {
      const uint16_t magic = Bytes(raw.data(), raw.size()).Be16(8);
      if (magic == kLeafMagic || magic == kLeafMagic3) break;
      if ((magic != kNodeMagic && magic != kNodeMagic3) || level == kLevelsMax) Damaged("a tree of attributes is damaged");
      number = Bytes(raw.data(), raw.size()).Be32((volume_.fifth() ? 64 : 16) + 4);
      raw = Node(number);
    }
    for (size_t count = 0; count < kLeavesMax; ++count) {
      Bytes leaf(raw.data(), raw.size());
      const uint16_t magic = leaf.Be16(8);
      if (magic != kLeafMagic && magic != kLeafMagic3) Damaged("a tree of attributes is damaged");
      Leaf(leaf);
      number = leaf.Be32(0);
      if (number == 0) return;
      raw = Node(number);
    }
    Damaged("a tree of attributes has no end");
  }

  void Leaf(const Bytes& leaf) {
    const size_t count = leaf.Be16(volume_.fifth() ? 56 : 12);
    const size_t head = volume_.fifth() ? 80 : 32;
    for (size_t entry = 0; entry < count; ++entry) {
      const size_t at = leaf.Be16(head + entry * 8 + 4);
      const uint8_t flags = leaf.U8(head + entry * 8 + 6);
      if (flags & kLocal) {
        const size_t valueLength = leaf.Be16(at);
        const size_t nameLength = leaf.U8(at + 2);
        Add(flags, leaf.Text(at + 3, nameLength), leaf.Text(at + 3 + nameLength, valueLength));
      } else {
        const size_t nameLength = leaf.U8(at + 8);
        Add(flags, leaf.Text(at + 9, nameLength), Remote(leaf.Be32(at), leaf.Be32(at + 4)));
      }
    }
  }

  std::string Remote(uint32_t block, uint32_t length) const {
    if (length > kAttributeBytesMax) Damaged("an extended attribute is too large");
    std::string value;
    for (; value.size() < length; ++block) {
      const std::vector<uint8_t> raw = volume_.ForkBlocks(inode_, XfsFork::kAttributes, block, 1);
      Bytes bytes(raw.data(), raw.size());
      if (volume_.fifth()) {
        if (bytes.Be32(0) != 0x5841524d) Damaged("the value of an extended attribute is damaged");
        volume_.Check(bytes, 12);
      }
      const size_t head = volume_.fifth() ? 56 : 0;
      value += bytes.Text(head, std::min<size_t>(length - value.size(), bytes.size() - head));
    }
    return value;
  }

  const XfsVolume& volume_;
  const XfsInode& inode_;
  std::vector<NamedValue> all_;
};

}  // namespace

std::vector<NamedValue> XfsAttributes(const XfsVolume& volume, const XfsInode& inode) {
  return Collector(volume, inode).All();
}

}  // namespace reader
