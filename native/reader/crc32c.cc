// CRC-32C by eight tables: see crc32c.h.
#include "crc32c.h"

#include <cstring>

namespace reader {

namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    for (size_t table = 1; table < 8; ++table) {
      const uint32_t before = tables[table - 1][byte];
      tables[table][byte] = (before >> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

}  // namespace

uint32_t Crc32c(uint32_t crc, const uint8_t* data, size_t size) {
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    word ^= crc;
    crc = kTables[7][word & 255] ^ kTables[6][(word >> 8) & 255] ^ kTables[5][(word >> 16) & 255] ^
          kTables[4][(word >> 24) & 255] ^ kTables[3][(word >> 32) & 255] ^ kTables[2][(word >> 40) & 255] ^
          kTables[1][(word >> 48) & 255] ^ kTables[0][word >> 56];
  }
  for (; size > 0; ++data, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *data) & 255];
  return crc;
}

}  // namespace reader
