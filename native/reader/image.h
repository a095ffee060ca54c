// The image that is read: a range of an open file. Any thread may read.
//
// Promises: nothing outside the range is read; a read gives all its bytes or fails with EIO.
#pragma once
#include <cstddef>
#include <cstdint>

namespace reader {

class Image {
 public:
  // `size` 0: to the end of the file.
  Image(int fd, uint64_t offset, uint64_t size);
  uint64_t size() const { return size_; }
  void Read(uint64_t at, uint8_t* out, size_t length) const;
  // The same; bytes behind the end of the image are zeros.
  void ReadPadded(uint64_t at, uint8_t* out, size_t length) const;

 private:
  const int fd_;
  const uint64_t offset_;
  uint64_t size_;
};

}  // namespace reader
