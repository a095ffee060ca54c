// CRC-32C (Castagnoli) as ext4 and XFS use it: without the final inversion. Source: RFC 3720, appendix B.4.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace reader {

uint32_t Crc32c(uint32_t crc, const uint8_t* data, size_t size);

}  // namespace reader
