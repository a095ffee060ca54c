// See pack-files.h.
#include "pack-files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace basalt {

constexpr auto kTrust = std::chrono::milliseconds(250);
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

bool PackFiles::Lend(uint32_t pack, int fd, bool direct) {
  std::lock_guard lock(mutex_);
  auto known = lent_.find(pack);
  if (known != lent_.end() && known->second.file->IsSame(fd)) {
    known->second.at = Clock::now();
    return true;
  }
  std::shared_ptr<PackFile> file = PackFile::From(fd, direct);
  if (!file) return false;
  lent_[pack] = Lent{std::move(file), Clock::now()};
  if (lent_.size() > kPacksMax) {
    lent_.erase(std::min_element(lent_.begin(), lent_.end(), [](auto& a, auto& b) { return a.second.at < b.second.at; }));
  }
  return true;
}

std::shared_ptr<PackFile> PackFiles::Find(uint32_t pack) {
  std::lock_guard lock(mutex_);
  auto known = lent_.find(pack);
  if (known == lent_.end() || Clock::now() - known->second.at > kTrust) return nullptr;
  return known->second.file;
}

void PackFiles::Clear() {
  std::lock_guard lock(mutex_);
  lent_.clear();
}

}  // namespace basalt
