// Extended attributes of ext2, ext3 and ext4: in the inode, in a block of their own, or with the value in an inode of its own.
#include <algorithm>

#include "crc32c.h"
#include "ext-volume.h"

namespace reader {

namespace {

constexpr uint32_t kMagic = 0xea020000;
constexpr uint8_t kSystem = 7;
constexpr uint8_t kAccessAcl = 2;
constexpr uint8_t kDefaultAcl = 3;

const char* PrefixOf(uint8_t index) {
  switch (index) {
    case 0: return "";
    case 1: return "user.";
    case kAccessAcl: return "system.posix_acl_access";
    case kDefaultAcl: return "system.posix_acl_default";
    case 4: return "trusted.";
    case 6: return "security.";
    case kSystem: return "system.";
    case 8: return "system.richacl";
    default: return nullptr;
  }
}

void Put(std::vector<uint8_t>* out, uint32_t value, size_t bytes) {
  for (size_t at = 0; at < bytes; ++at) out->push_back(static_cast<uint8_t>(value >> (8 * at)));
}

// From the short form on disk to what getxattr(2) gives: acl(5), version 2.
std::vector<uint8_t> OpenAcl(const Bytes& acl) {
  if (acl.Le32(0) != 1) Damaged("an access list is damaged");
  std::vector<uint8_t> out;
  Put(&out, 2, 4);
  for (size_t at = 4; at < acl.size();) {
    const uint16_t tag = acl.Le16(at);
    const bool named = tag == 2 || tag == 8;
    Put(&out, tag, 2);
    Put(&out, acl.Le16(at + 2), 2);
    Put(&out, named ? acl.Le32(at + 4) : ~0u, 4);
    at += named ? 8 : 4;
  }
  return out;
}

std::vector<uint8_t> ValueOf(const ExtVolume& volume, const Bytes& values, const Bytes& entry) {
  const uint32_t size = entry.Le32(8);
  const uint32_t number = entry.Le32(4);
  if (size > kAttributeBytesMax) Damaged("an extended attribute is too large");
  if (number == 0) {
    Bytes value = values.Sub(entry.Le16(2), size);
    return {value.data(), value.data() + value.size()};
  }
  const ExtInode holder = volume.Inode(number);
  if (holder.flags() & kExtFlagInline || holder.size() < size) Damaged("an extended attribute is damaged");
  std::vector<uint8_t> value(size);
  ReadExtFile(volume, holder, 0, value.data(), size);
  return value;
}

// `entries`: from the first entry on; offsets of values count from the begin of `values`.
void Collect(const ExtVolume& volume, const Bytes& entries, const Bytes& values, bool hidden,
             std::vector<ExtAttribute>* out) {
  for (size_t at = 0; at + 4 <= entries.size() && entries.Le32(at) != 0;) {
    Bytes entry = entries.From(at);
    const uint8_t length = entry.U8(0);
    const uint8_t index = entry.U8(1);
    const char* prefix = PrefixOf(index);
    const std::string name = entry.Text(16, length);
    at += (16 + size_t{length} + 3) & ~size_t{3};
    if (prefix == nullptr || (!hidden && index == kSystem && name == "data")) continue;
    ExtAttribute attribute{prefix + name, {}};
    const bool acl = index == kAccessAcl || index == kDefaultAcl;
    attribute.value = ValueOf(volume, values, entry);
    if (acl) attribute.value = OpenAcl({attribute.value.data(), attribute.value.size()});
    out->push_back(std::move(attribute));
  }
}

void CheckBlock(const ExtVolume& volume, uint64_t number, const Bytes& block) {
  if (block.Le32(0) != kMagic) Damaged("a block of extended attributes is damaged");
  if (!volume.hasChecksums()) return;
  uint32_t crc = Crc32c(volume.seed(), reinterpret_cast<const uint8_t*>(&number), 8);
  const uint8_t zeros[4] = {};
  crc = Crc32c(crc, block.data(), 16);
  crc = Crc32c(crc, zeros, 4);
  crc = Crc32c(crc, block.data() + 20, block.size() - 20);
  if (crc != block.Le32(16)) Damaged("a block of extended attributes is damaged");
}

}  // namespace

std::vector<ExtAttribute> ExtAttributes(const ExtVolume& volume, const ExtInode& inode, bool inodeOnly) {
  std::vector<ExtAttribute> all;
  const size_t begin = 128 + inode.extraBytes();
  if (begin + 8 <= inode.raw.size() && inode.raw.size() > 128 && inode.bytes().Le32(begin) == kMagic) {
    Bytes body = inode.bytes().From(begin + 4);
    Collect(volume, body, body, inodeOnly, &all);
  }
  if (inodeOnly || inode.attributeBlock() == 0) return all;
  Block block = volume.Metadata(inode.attributeBlock());
  CheckBlock(volume, inode.attributeBlock(), In(block));
  Collect(volume, In(block).From(32), In(block), false, &all);
  return all;
}

}  // namespace reader
