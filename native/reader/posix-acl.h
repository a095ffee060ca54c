// An access list as getxattr(2) gives it: acl(5), version 2. Each file system keeps it in a form of its own.
#pragma once
#include <cstdint>
#include <string>

namespace reader {

class PosixAcl {
 public:
  PosixAcl() { Put(2, 4); }

  // Entries of this kind name a user or a group; the others have no id.
  static bool IsNamed(uint32_t tag) { return tag == 2 || tag == 8; }
  void Add(uint32_t tag, uint16_t permissions, uint32_t id) {
    Put(tag, 2);
    Put(permissions, 2);
    Put(IsNamed(tag) ? id : ~0u, 4);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void Put(uint32_t value, size_t count) {
    for (size_t at = 0; at < count; ++at) bytes_ += static_cast<char>(value >> (8 * at));
  }
  std::string bytes_;
};

}  // namespace reader
