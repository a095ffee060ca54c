// BLAKE3-256, the content address. Source: the official C implementation, which picks the widest vectors of the CPU.
#pragma once
extern "C" {
#include <blake3.h>
}

#include <cstddef>
#include <cstdint>

namespace basalt {

constexpr size_t kDigestBytes = 32;

inline void Hash(const uint8_t* data, size_t length, uint8_t* digest) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, data, length);
  blake3_hasher_finalize(&hasher, digest, kDigestBytes);
}

// True where every byte is zero. Looks at 64 bytes at a time, so that a block with data is told by its first lines.
inline bool AllZero(const uint8_t* data, size_t length) {
  size_t position = 0;
  for (; position + 64 <= length; position += 64) {
    uint64_t words[8];
    __builtin_memcpy(words, data + position, 64);
    if (words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) return false;
  }
  for (; position < length; position++) {
    if (data[position]) return false;
  }
  return true;
}

}  // namespace basalt
