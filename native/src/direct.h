// Reads and writes past the page cache: a backup of a large volume must not push out what others have in memory, and copying
// through the cache costs more than everything else that a restore does.
#pragma once
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace basalt {

constexpr size_t kDirectAlign = 4096;  // no device of today asks for more

inline bool DirectAligned(const void* data, size_t length, off_t position) {
  return ((reinterpret_cast<uintptr_t>(data) | length | static_cast<uint64_t>(position)) & (kDirectAlign - 1)) == 0;
}

// True where the page cache has all of the range. Asked without touching it: a read with RWF_NOWAIT would have the kernel read
// ahead into the cache what the direct read is about to fetch. False on kernels before 6.5, which can't be asked.
inline bool InPageCache(int fd, off_t position, size_t length) {
  // cachestat(2), by its number: glibc has no name for it yet. It is the same number on all processors.
  constexpr long kCachestat = 451;
  struct {
    uint64_t offset, length;
  } range{static_cast<uint64_t>(position), length};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } pages{};
  static const uint64_t page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  uint64_t first = range.offset / page_bytes, behind = (range.offset + length + page_bytes - 1) / page_bytes;
  return syscall(kCachestat, fd, &range, &pages, 0u) == 0 && pages.cached >= behind - first;
}

// What others have in memory is taken from there, the rest straight from the device. `room`: bytes that `data` has, at least
// `length`; a direct read may fill more than was asked for. `direct` is -1 where the device takes no direct access.
inline ssize_t ReadPastCache(int fd, int direct, void* data, size_t length, size_t room, off_t position) {
  size_t whole = (length + kDirectAlign - 1) & ~(kDirectAlign - 1);
  bool can = direct >= 0 && whole <= room && DirectAligned(data, whole, position);
  if (!can || InPageCache(fd, position, length)) return pread(fd, data, length, position);
  ssize_t count = pread(direct, data, whole, position);
  if (count < 0 && errno == EINVAL) return pread(fd, data, length, position);
  return count > static_cast<ssize_t>(length) ? static_cast<ssize_t>(length) : count;
}

// How reading all of a range ended: whole, at the end of the file, or with an errno at a position.
struct ReadEnd {
  off_t position;
  bool short_read;
  int number;
  bool whole() const { return !short_read && number == 0; }
};

inline ReadEnd ReadAllPastCache(int fd, int direct, uint8_t* data, size_t length, size_t room, off_t position) {
  for (size_t done = 0; done < length;) {
    off_t at = position + static_cast<off_t>(done);
    ssize_t count = ReadPastCache(fd, direct, data + done, length - done, room - done, at);
    if (count == 0) return {at, true, 0};
    if (count < 0 && errno != EINTR) return {at, false, errno};
    if (count > 0) done += static_cast<size_t>(count);
  }
  return {position + static_cast<off_t>(length), false, 0};
}

inline ssize_t WritePastCache(int fd, int direct, const void* data, size_t length, off_t position) {
  if (direct >= 0 && DirectAligned(data, length, position)) {
    ssize_t count = pwrite(direct, data, length, position);
    if (count >= 0 || errno != EINVAL) return count;
  }
  return pwrite(fd, data, length, position);
}

// 0, or the errno of a write that failed, which began at `position`.
struct WriteEnd {
  off_t position;
  int number;
};

inline WriteEnd WriteAllPastCache(int fd, int direct, const uint8_t* data, size_t length, off_t position) {
  for (size_t done = 0; done < length;) {
    off_t at = position + static_cast<off_t>(done);
    ssize_t count = WritePastCache(fd, direct, data + done, length - done, at);
    if (count == 0) return {at, ENOSPC};
    if (count < 0 && errno != EINTR) return {at, errno};
    if (count > 0) done += static_cast<size_t>(count);
  }
  return {position + static_cast<off_t>(length), 0};
}

}  // namespace basalt
