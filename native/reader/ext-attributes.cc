// Extended attributes of ext2, ext3 and ext4: in the inode, in a block of their own, or with the value in an inode of its own.
#include <algorithm>

#include "crc32c.h"
#include "ext-volume.h"
#include "posix-acl.h"

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

// From the short form on disk.
std::string OpenAcl(const Bytes& acl) {
  if (acl.Le32(0) != 1) Damaged("an access list is damaged");
  PosixAcl out;
  for (size_t at = 4; at < acl.size();) {
    const uint16_t tag = acl.Le16(at);
    const bool named = PosixAcl::IsNamed(tag);
    out.Add(tag, acl.Le16(at + 2), named ? acl.Le32(at + 4) : 0);
    at += named ? 8 : 4;
  }
  return out.bytes();
}

std::string ValueOf(const ExtVolume& volume, const Bytes& values, const Bytes& entry) {
  const uint32_t size = entry.Le32(8);
  const uint32_t number = entry.Le32(4);
  if (size > kAttributeBytesMax) Damaged("an extended attribute is too large");
  if (number == 0) {
    return values.Text(entry.Le16(2), size);
  }
  const ExtInode holder = volume.Inode(number);
  if (holder.flags() & kExtFlagInline || holder.size() < size) Damaged("an extended attribute is damaged");
  std::string value(size, '\0');
  ReadExtFile(volume, holder, 0, reinterpret_cast<uint8_t*>(value.data()), size);
  return value;
}

// `entries`: from the first entry on; offsets of values count from the begin of `values`.
void Collect(const ExtVolume& volume, const Bytes& entries, const Bytes& values, bool hidden,
             std::vector<NamedValue>* out) {
  for (size_t at = 0; at + 4 <= entries.size() && entries.Le32(at) != 0;) {
    Bytes entry = entries.From(at);
    const uint8_t length = entry.U8(0);
    const uint8_t index = entry.U8(1);
    const char* prefix = PrefixOf(index);
    const std::string name = entry.Text(16, length);
    at += (16 + size_t{length} + 3) & ~size_t{3};
    if (prefix == nullptr || (!hidden && index == kSystem && name == "data")) continue;
    NamedValue attribute{prefix + name, {}};
    const bool acl = index == kAccessAcl || index == kDefaultAcl;
    attribute.value = ValueOf(volume, values, entry);
    if (acl) attribute.value = OpenAcl(Bytes(reinterpret_cast<const uint8_t*>(attribute.value.data()), attribute.value.size()));
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

std::vector<NamedValue> ExtAttributes(const ExtVolume& volume, const ExtInode& inode, bool inodeOnly) {
  std::vector<NamedValue> all;
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
