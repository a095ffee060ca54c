// The hashes by which ext3 and ext4 sort indexed folders: legacy, half MD4 and TEA, with signed or unsigned characters.
// Source: the kernel's documentation, "Hash Tree Directories", and the published MD4 and TEA.
#include <array>

#include "ext-volume.h"

namespace reader {

namespace {

uint32_t Rotate(uint32_t value, int by) { return value << by | value >> (32 - by); }

int Character(char value, bool isUnsigned) {
  return isUnsigned ? static_cast<unsigned char>(value) : static_cast<signed char>(value);
}

// Up to `words` words of the name, filled up with its length.
template <size_t words>
std::array<uint32_t, words> Pack(std::string_view name, bool isUnsigned) {
  uint32_t fill = static_cast<uint32_t>(name.size());
  fill |= fill << 8;
  fill |= fill << 16;
  std::array<uint32_t, words> out;
  out.fill(fill);
  const size_t length = std::min(name.size(), words * 4);
  for (size_t word = 0; word * 4 < length; ++word) {
    uint32_t value = fill;
    for (size_t at = word * 4; at < length && at < word * 4 + 4; ++at) {
      value = static_cast<uint32_t>(Character(name[at], isUnsigned)) + (value << 8);
    }
    out[word] = value;
  }
  return out;
}

void HalfMd4(std::array<uint32_t, 4>* state, const std::array<uint32_t, 8>& in) {
  auto [a, b, c, d] = *state;
  auto step = [](uint32_t* to, uint32_t mixed, int by) { *to = Rotate(*to + mixed, by); };
  auto f = [](uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); };
  auto g = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) + ((x ^ y) & z); };
  auto h = [](uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; };
  auto round = [&](auto mix, uint32_t constant, const std::array<size_t, 8>& order, const std::array<int, 4>& by) {
    for (size_t at = 0; at < 8; at += 4) {
      step(&a, mix(b, c, d) + in[order[at]] + constant, by[0]);
      step(&d, mix(a, b, c) + in[order[at + 1]] + constant, by[1]);
      step(&c, mix(d, a, b) + in[order[at + 2]] + constant, by[2]);
      step(&b, mix(c, d, a) + in[order[at + 3]] + constant, by[3]);
    }
  };
  round(f, 0, {0, 1, 2, 3, 4, 5, 6, 7}, {3, 7, 11, 19});
  round(g, 0x5a827999, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 5, 9, 13});
  round(h, 0x6ed9eba1, {3, 7, 2, 6, 1, 5, 0, 4}, {3, 9, 11, 15});
  *state = {(*state)[0] + a, (*state)[1] + b, (*state)[2] + c, (*state)[3] + d};
}

void Tea(std::array<uint32_t, 4>* state, const std::array<uint32_t, 4>& in) {
  uint32_t first = (*state)[0];
  uint32_t second = (*state)[1];
  uint32_t sum = 0;
  for (int turn = 0; turn < 16; ++turn) {
    sum += 0x9e3779b9;
    first += ((second << 4) + in[0]) ^ (second + sum) ^ ((second >> 5) + in[1]);
    second += ((first << 4) + in[2]) ^ (first + sum) ^ ((first >> 5) + in[3]);
  }
  (*state)[0] += first;
  (*state)[1] += second;
}

uint32_t Legacy(std::string_view name, bool isUnsigned) {
  uint32_t newer = 0x12a3fe2d;
  uint32_t older = 0x37abe8f9;
  for (char letter : name) {
    uint32_t hash = older + (newer ^ static_cast<uint32_t>(Character(letter, isUnsigned) * 7152373));
    if (hash & 0x80000000) hash -= 0x7fffffff;
    older = newer;
    newer = hash;
  }
  return newer << 1;
}

}  // namespace

bool ExtNameHash(const ExtVolume& volume, uint8_t version, std::string_view name, uint32_t* hash) {
  const bool isUnsigned = volume.hashesUnsigned() || (version >= 3 && version <= 5);
  std::array<uint32_t, 4> state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  if (volume.hashSeed() != std::array<uint32_t, 4>{}) state = volume.hashSeed();
  uint32_t value = 0;
  switch (version % 3) {
    case 0: value = Legacy(name, isUnsigned); break;
    case 1:
      for (size_t at = 0; at < name.size(); at += 32) HalfMd4(&state, Pack<8>(name.substr(at), isUnsigned));
      value = state[1];
      break;
    default:
      for (size_t at = 0; at < name.size(); at += 16) Tea(&state, Pack<4>(name.substr(at), isUnsigned));
      value = state[0];
  }
  // The lowest bit says "goes on in the next block", and the highest hash marks the end.
  value &= ~1u;
  *hash = value == 0xfffffffe ? 0xfffffffc : value;
  return version <= 5;
}

}  // namespace reader
