// The socket to one `basalt-reader`: requests out, answers back to who asked. Source: native/reader/server.h.
//
// Promises: each request that was taken is answered once, at the latest when the channel ends; asking never waits, whatever
// the reader does; a reader that sends nonsense or nothing for too long ends its channel, and nothing else. An answer is the
// word of a process that has read a hostile image: whoever gets it checks it.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace basalt {

enum class ReaderOperation : uint8_t {
  kStat = 1,
  kLookup = 2,
  kList = 3,
  kReadLink = 4,
  kRead = 5,
  kNextData = 6,
  kAttributeNames = 7,
  kAttribute = 8,
  kLocate = 9,
};

struct ReaderRequest {
  ReaderOperation operation = ReaderOperation::kStat;
  uint64_t node = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  std::string name;
};

// Numbers of an answer, one behind the other; what is not there is 0, and `whole` says so.
class AnswerCursor {
 public:
  AnswerCursor(const uint8_t* data, size_t length) : data_(data), left_(length) {}
  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t U64() { return Number(8); }
  std::string Text() {
    size_t length = U32();
    if (length > left_) {
      whole_ = false;
      return {};
    }
    std::string text(reinterpret_cast<const char*>(data_), length);
    data_ += length;
    left_ -= length;
    return text;
  }
  bool whole() const { return whole_; }
  bool ended() const { return left_ == 0 || !whole_; }

 private:
  uint64_t Number(size_t bytes) {
    if (bytes > left_) {
      whole_ = false;
      return 0;
    }
    uint64_t value = 0;
    for (size_t at = 0; at < bytes; at++) value |= uint64_t{data_[at]} << (8 * at);
    data_ += bytes;
    left_ -= bytes;
    return value;
  }
  const uint8_t* data_;
  size_t left_;
  bool whole_ = true;
};

class ReaderChannel {
 public:
  using Clock = std::chrono::steady_clock;
  using Callback = std::function<void(int error, const uint8_t* body, size_t length)>;

  // Takes the descriptor. Both functions are called on the thread of `Run`.
  ReaderChannel(int socket, Callback first, std::function<void(ReaderChannel*)> onEnd);
  ~ReaderChannel();
  ReaderChannel(const ReaderChannel&) = delete;
  ReaderChannel& operator=(const ReaderChannel&) = delete;

  // Receives until the end. Called once, by a thread of its own.
  void Run();
  // False: it takes no more requests.
  bool Ask(const ReaderRequest& request, Callback callback);
  // No further requests; it ends when those under way are answered.
  void Retire();
  // It ends now.
  void End();
  // How long nobody has asked; 0 while an answer is awaited.
  double IdleMs();

 private:
  struct Pending {
    Callback callback;
    Clock::time_point since;
  };

  void Wake();
  bool Wait();
  bool Send();
  bool Receive();
  bool Deliver(const std::vector<uint8_t>& frame);

  const int socket_;
  const int wake_;
  const std::function<void(ReaderChannel*)> onEnd_;
  std::vector<uint8_t> received_;

  std::mutex mutex_;  // all below
  bool open_ = true;
  bool ending_ = false;
  uint32_t nextId_ = 1;
  std::map<uint32_t, Pending> pending_;  // the oldest first
  std::string outbox_;
  Clock::time_point usedAt_ = Clock::now();
};

}  // namespace basalt
