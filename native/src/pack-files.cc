// See pack-files.h.
#include "pack-files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace basalt {

constexpr auto kKept = std::chrono::seconds(10);
constexpr size_t kPacksMax = 128;

std::shared_ptr<PackFile> PackFile::From(int fd, bool direct) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return nullptr;
  int past_cache = -1;
  if (direct) past_cache = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  return std::shared_ptr<PackFile>(new PackFile(copy, past_cache));
}

PackFile::~PackFile() {
  close(fd_);
  if (direct_ >= 0) close(direct_);
}

bool PackFile::IsSame(int fd) const {
  struct stat ours, theirs;
  return fstat(fd_, &ours) == 0 && fstat(fd, &theirs) == 0 && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

std::shared_ptr<PackFile> PackFiles::Known(uint32_t pack) {
  std::lock_guard lock(mutex_);
  auto known = lent_.find(pack);
  return known == lent_.end() ? nullptr : known->second.file;
}

bool PackFiles::Lend(uint32_t pack, int fd, bool direct) {
  // Nothing that may wait for the file is done with the mutex held: closing neither.
  std::shared_ptr<PackFile> file = Known(pack);
  if (!file || !file->IsSame(fd)) file = PackFile::From(fd, direct);
  if (!file) return false;
  std::vector<Lent> old;
  Clock::time_point now = Clock::now();
  std::lock_guard lock(mutex_);
  if (closed_) return false;
  std::swap(lent_[pack], old.emplace_back(Lent{file, now}));
  for (auto each = lent_.begin(); each != lent_.end();) {
    bool is_old = now - each->second.at >= kKept;
    if (is_old) old.push_back(std::move(each->second));
    each = is_old ? lent_.erase(each) : std::next(each);
  }
  if (lent_.size() > kPacksMax) {
    auto oldest = std::min_element(lent_.begin(), lent_.end(), [](auto& a, auto& b) { return a.second.at < b.second.at; });
    old.push_back(std::move(oldest->second));
    lent_.erase(oldest);
  }
  return true;
}

std::shared_ptr<PackFile> PackFiles::Find(uint32_t pack, Clock::time_point since) {
  std::lock_guard lock(mutex_);
  auto known = lent_.find(pack);
  return known == lent_.end() || known->second.at < since ? nullptr : known->second.file;
}

void PackFiles::Drop(uint32_t pack) {
  Lent old;
  std::lock_guard lock(mutex_);
  if (auto known = lent_.find(pack); known != lent_.end()) {
    old = std::move(known->second);
    lent_.erase(known);
  }
}

void PackFiles::Close() {
  std::map<uint32_t, Lent> old;
  std::lock_guard lock(mutex_);
  closed_ = true;
  std::swap(lent_, old);
}

}  // namespace basalt
