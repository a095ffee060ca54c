// Packs that are files and open, by their number in the index.
//
// Promises: a file is never closed under a read; one is given out for kTrust after it was lent, and then has to be lent again by who
// knows whether the name still leads to it; at most kPacksMax are kept, those lent last. Any thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace basalt {

class PackFile {
 public:
  // Takes copies of the descriptor: one past the page cache too, where `direct` says that this serves.
  static std::shared_ptr<PackFile> From(int fd, bool direct);
  ~PackFile();
  PackFile(const PackFile&) = delete;
  PackFile& operator=(const PackFile&) = delete;

  int fd() const { return fd_; }
  // -1: there is none.
  int direct() const { return direct_; }
  bool IsSame(int fd) const;

 private:
  PackFile(int fd, int direct) : fd_(fd), direct_(direct) {}
  int fd_, direct_;
};

class PackFiles {
 public:
  // False where the descriptor could not be copied.
  bool Lend(uint32_t pack, int fd, bool direct);
  // Null where it has to be lent first.
  std::shared_ptr<PackFile> Find(uint32_t pack);
  // Lets go of all; those that are being read are closed afterwards.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;
  struct Lent {
    std::shared_ptr<PackFile> file;
    Clock::time_point at;
  };
  std::mutex mutex_;
  std::map<uint32_t, Lent> lent_;
};

}  // namespace basalt
