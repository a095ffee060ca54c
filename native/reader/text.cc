// Text of file systems that keep it in units of 16 bits: see text.h.
#include "text.h"

namespace reader {

void PutLetter(std::string* out, uint32_t letter) {
  auto rest = [&](unsigned shift) { *out += static_cast<char>(0x80 | ((letter >> shift) & 0x3f)); };
  if (letter < 0x80) {
    *out += static_cast<char>(letter);
  } else if (letter < 0x800) {
    *out += static_cast<char>(0xc0 | letter >> 6);
    rest(0);
  } else if (letter < 0x10000) {
    *out += static_cast<char>(0xe0 | letter >> 12);
    rest(6);
    rest(0);
  } else {
    *out += static_cast<char>(0xf0 | letter >> 18);
    rest(12);
    rest(6);
    rest(0);
  }
}

std::string FromUtf16(std::u16string_view units) {
  std::string out;
  for (size_t at = 0; at < units.size(); ++at) {
    uint32_t letter = units[at];
    if ((letter & 0xfc00) == 0xd800 && at + 1 < units.size() && (units[at + 1] & 0xfc00) == 0xdc00) {
      letter = 0x10000 + ((letter & 0x3ff) << 10) + (units[++at] & 0x3ff);
    }
    PutLetter(&out, letter);
  }
  return out;
}

bool ToUtf16(std::string_view text, std::u16string* out) {
  for (size_t at = 0; at < text.size();) {
    const auto head = static_cast<uint8_t>(text[at++]);
    const unsigned more = head < 0x80 ? 0 : head >= 0xc2 && head < 0xe0 ? 1 : head >= 0xe0 && head < 0xf0 ? 2 : head >= 0xf0 && head < 0xf5 ? 3 : 4;
    if (more == 4 || text.size() - at < more) return false;
    uint32_t letter = more == 0 ? head : head & (0x3fu >> more);
    for (unsigned count = 0; count < more; ++count) {
      const auto next = static_cast<uint8_t>(text[at++]);
      if ((next & 0xc0) != 0x80) return false;
      letter = letter << 6 | (next & 0x3f);
    }
    if (letter > 0x10ffff) return false;
    if (letter < 0x10000) {
      *out += static_cast<char16_t>(letter);
    } else {
      *out += static_cast<char16_t>(0xd800 + ((letter - 0x10000) >> 10));
      *out += static_cast<char16_t>(0xdc00 + (letter & 0x3ff));
    }
  }
  return true;
}

std::string UsableName(std::string name) {
  for (char& letter : name) {
    if (letter == '/' || letter == '\0') letter = '_';
  }
  if (name.empty() || name == "." || name == "..") name += '_';
  return name;
}

}  // namespace reader
