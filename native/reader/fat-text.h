// Names and times as FAT and exFAT write them.
#pragma once
#include "file-system.h"

namespace reader {

// UTF-8 of a name in code page 437, the one that Linux takes where nobody names another. `lower`: as its bits of case ask.
std::string FromPage437(std::string_view bytes, bool lower);
// Date and time of day as DOS packs them, taken as UTC; what can't be becomes the nearest that can.
Time FromDos(uint16_t date, uint16_t time);
// The id of a volume as people write it.
std::string SerialText(uint32_t serial);

}  // namespace reader
