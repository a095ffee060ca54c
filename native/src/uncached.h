// Reads that leave the page cache as they found it, where the kernel can do that (RWF_DONTCACHE, Linux 6.14):
// a backup of a large volume must not push out what others have in memory, and what they have there must stay.
#pragma once
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace basalt {

constexpr int kDontCache = 0x80;  // RWF_DONTCACHE; older headers do not have it

inline ssize_t ReadUncached(int fd, void* data, size_t length, off_t position) {
  iovec part{data, length};
  ssize_t count = preadv2(fd, &part, 1, position, kDontCache);
  return count >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) ? count : pread(fd, data, length, position);
}

}  // namespace basalt
