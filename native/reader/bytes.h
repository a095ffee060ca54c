// Bytes of an image that nobody has checked yet, and the one failure that readers throw.
//
// Promises: no access leaves the range that was given; whatever the image says, the worst is a Failure. Knows no file system.
#pragma once
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace reader {

// What a request ends with when it can't be answered: an errno, and why as a sentence without names of the image.
struct Failure {
  int number;
  std::string why;
};

[[noreturn]] inline void Fail(int number, std::string why) { throw Failure{number, std::move(why)}; }
// The image says something that can't be.
[[noreturn]] inline void Damaged(std::string why) { Fail(EIO, std::move(why)); }

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  Bytes Sub(size_t at, size_t length) const {
    Need(at, length);
    return {data_ + at, length};
  }
  Bytes From(size_t at) const { return Sub(at, at <= size_ ? size_ - at : 0); }
  std::string Text(size_t at, size_t length) const {
    Need(at, length);
    return {reinterpret_cast<const char*>(data_ + at), length};
  }
  // Text that ends at its first zero byte or with the range.
  std::string Label(size_t at, size_t length) const {
    std::string text = Text(at, length);
    return text.substr(0, text.find('\0'));
  }

  uint8_t U8(size_t at) const { return Get<uint8_t>(at); }
  uint16_t Le16(size_t at) const { return Get<uint16_t>(at); }
  uint32_t Le32(size_t at) const { return Get<uint32_t>(at); }
  uint64_t Le64(size_t at) const { return Get<uint64_t>(at); }
  uint16_t Be16(size_t at) const { return __builtin_bswap16(Get<uint16_t>(at)); }
  uint32_t Be32(size_t at) const { return __builtin_bswap32(Get<uint32_t>(at)); }
  uint64_t Be64(size_t at) const { return __builtin_bswap64(Get<uint64_t>(at)); }

 private:
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Get reads little-endian values as they lie");

  void Need(size_t at, size_t length) const {
    if (at > size_ || length > size_ - at) Damaged("a structure reaches behind its end");
  }
  template <typename T>
  T Get(size_t at) const {
    Need(at, sizeof(T));
    T value;
    memcpy(&value, data_ + at, sizeof(T));
    return value;
  }

  const uint8_t* data_;
  size_t size_;
};

// Sixteen bytes as people write the id of a file system.
inline std::string UuidText(const Bytes& bytes) {
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (size_t at = 0; at < 16; ++at) {
    if (at == 4 || at == 6 || at == 8 || at == 10) text += '-';
    text += digits[bytes.U8(at) >> 4];
    text += digits[bytes.U8(at) & 15];
  }
  return text;
}

}  // namespace reader
