// Packs that are files and open, by their number in the index.
//
// Promises: a file is never closed under a read; how long ago somebody made sure that the name still leads to it is asked for at each
// look-up; those that were not lent for kKept are let go of with the next loan. Any thread but the main one: a file of a network may
// keep whoever opens, looks at or closes it.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace basalt {

class PackFile {
 public:
  // Takes copies of the descriptor: one past the page cache too, where `direct` says that this serves. Null where it can't be copied.
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
  using Clock = std::chrono::steady_clock;

  // False where the descriptor could not be copied, or after Close.
  bool Lend(uint32_t pack, int fd, bool direct);
  // Null where it was lent before `since`, or never.
  std::shared_ptr<PackFile> Find(uint32_t pack, Clock::time_point since);
  void Drop(uint32_t pack);
  // Lets go of all; those that are being read are closed afterwards.
  void Close();

 private:
  struct Lent {
    std::shared_ptr<PackFile> file;
    Clock::time_point at;
  };
  std::shared_ptr<PackFile> Known(uint32_t pack);

  std::mutex mutex_;
  std::map<uint32_t, Lent> lent_;
  bool closed_ = false;
};

}  // namespace basalt
