// Names in code pages, and times: see fat-text.h.
#include "fat-text.h"

#include <algorithm>
#include <array>

#include "text.h"

namespace reader {

namespace {

// From 0x80 on.
constexpr std::array<uint16_t, 128> kPage437 = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

uint8_t LowerOf437(uint8_t letter) {
  static constexpr uint8_t pairs[][2] = {{0x80, 0x87}, {0x8e, 0x84}, {0x8f, 0x86}, {0x90, 0x82}, {0x92, 0x91}, {0x99, 0x94}, {0x9a, 0x81}, {0xa5, 0xa4}, {0xe4, 0xe5}, {0xe8, 0xed}};
  if (letter >= 'A' && letter <= 'Z') return letter + 32;
  for (const auto& pair : pairs) {
    if (pair[0] == letter) return pair[1];
  }
  return letter;
}

// Days from 1970-01-01 to a day of the proleptic calendar.
int64_t DaysTo(int64_t year, unsigned month, unsigned day) {
  static constexpr unsigned before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  const int64_t leapDays = (year - 1969) / 4 - (year - 1901) / 100 + (year - 1601) / 400;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return (year - 1970) * 365 + leapDays + before[month - 1] + (leap && month > 2 ? 1 : 0) + day - 1;
}

}  // namespace

std::string FromPage437(std::string_view bytes, bool lower) {
  std::string out;
  for (char byte : bytes) {
    auto letter = static_cast<uint8_t>(byte);
    if (lower) letter = LowerOf437(letter);
    PutLetter(&out, letter < 0x80 ? letter : kPage437[letter - 0x80]);
  }
  return out;
}

Time FromDos(uint16_t date, uint16_t time) {
  const unsigned month = std::clamp((date >> 5) & 15, 1, 12);
  const unsigned day = std::max(1, date & 31);
  const int64_t days = DaysTo(1980 + (date >> 9), month, day);
  return {days * 86400 + (time >> 11) * 3600 + ((time >> 5) & 63) * 60 + (time & 31) * 2, 0};
}

std::string SerialText(uint32_t serial) {
  static const char* digits = "0123456789ABCDEF";
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4) {
    if (shift == 12) text += '-';
    text += digits[(serial >> shift) & 15];
  }
  return text;
}

}  // namespace reader
