// Text of file systems that keep it in units of 16 bits, as Linux wants names.
#pragma once
#include <string>
#include <string_view>

namespace reader {

// Appends one letter as UTF-8.
void PutLetter(std::string* out, uint32_t letter);
// UTF-8 of UTF-16. Halves of a pair that stand alone become the three bytes that their number would have.
std::string FromUtf16(std::u16string_view units);
// The way back; false where it is no such text.
bool ToUtf16(std::string_view text, std::u16string* out);
// A name that no path can be confused by: what can't be a name on Linux is written with "_".
std::string UsableName(std::string name);

}  // namespace reader
