// Reads of the image: see image.h.
#include "image.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "bytes.h"

namespace reader {

Image::Image(int fd, uint64_t offset, uint64_t size) : fd_(fd), offset_(offset), size_(size) {
  off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) Fail(errno, "the image can't be measured");
  const auto whole = static_cast<uint64_t>(end);
  if (offset_ > whole) Damaged("the partition begins behind the end of the image");
  // A partition may be longer than what there is: what is missing can't be read, the rest can.
  if (size_ == 0 || size_ > whole - offset_) size_ = whole - offset_;
}

void Image::Read(uint64_t at, uint8_t* out, size_t length) const {
  if (at > size_ || length > size_ - at) Damaged("a structure lies behind the end of the image");
  while (length > 0) {
    ssize_t count = pread(fd_, out, length, static_cast<off_t>(offset_ + at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) Fail(EIO, "the image can't be read there");
    at += static_cast<uint64_t>(count);
    out += count;
    length -= static_cast<size_t>(count);
  }
}

void Image::ReadPadded(uint64_t at, uint8_t* out, size_t length) const {
  const uint64_t there = at < size_ ? std::min<uint64_t>(length, size_ - at) : 0;
  if (there > 0) Read(at, out, static_cast<size_t>(there));
  memset(out + there, 0, length - static_cast<size_t>(there));
}

}  // namespace reader
