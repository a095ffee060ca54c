// Ranges of a file or device that are made to read as zeros without writing them.
#pragma once
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>

namespace basalt {

// Kernels take the order to punch a hole for what it says. QEMU's server of FUSE takes it for advice, which it is free to ignore, and
// then the old bytes stay (seen with 7.2; block/export/fuse.c, blk_pdiscard): behind FUSE nobody is asked for holes.
inline bool HolesAreZeros(int fd) {
  struct statfs where;
  return fstatfs(fd, &where) == 0 && where.f_type != FUSE_SUPER_MAGIC;
}

inline bool Allocate(int fd, int mode, off_t from, off_t length) {
  int result;
  do {
    result = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, from, length);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

// How a range was made zero; null where it has to be written, whatever the reason.
inline const char* MakeZero(int fd, off_t from, off_t length) {
  if (HolesAreZeros(fd) && Allocate(fd, FALLOC_FL_PUNCH_HOLE, from, length)) return "punched";
  return Allocate(fd, FALLOC_FL_ZERO_RANGE, from, length) ? "zeroed" : nullptr;
}

}  // namespace basalt
