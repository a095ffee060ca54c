// One block as it is stored in a pack, made whole again and proved.
#pragma once
#include <cstddef>
#include <cstdint>

namespace basalt {

struct StoredBlock {
  const uint8_t* bytes;
  size_t length;
  uint32_t encoding;
};

// Fills `output` with the `raw` bytes of the block; false where they are not what `address` (32 bytes) names.
bool Decode(const StoredBlock& stored, const uint8_t* address, uint8_t* output, size_t raw);

}  // namespace basalt
