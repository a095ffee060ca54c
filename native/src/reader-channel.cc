// The thread of a reader's socket: see reader-channel.h.
#include "reader-channel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace basalt {

namespace {

constexpr auto kTimeout = std::chrono::seconds(30);
constexpr int kPollMs = 1000;
// Nothing longer is ever asked for: a slot of the cache, an attribute, a page of a folder and its last entry.
constexpr size_t kFrameBytesMax = 512 << 10;
constexpr size_t kHeadBytes = 8;
constexpr size_t kReceiveBytes = 128 << 10;
constexpr size_t kKeptBytes = 256 << 10;

void Put(std::string* out, uint64_t value, size_t bytes) {
  for (size_t at = 0; at < bytes; at++) out->push_back(static_cast<char>(value >> (8 * at)));
}

uint32_t NumberAt(const std::vector<uint8_t>& bytes, size_t at) {
  return static_cast<uint32_t>(AnswerCursor(bytes.data() + at, 4).U32());
}

}  // namespace

ReaderChannel::ReaderChannel(int socket, Callback first, std::function<void(ReaderChannel*)> onEnd)
    : socket_(socket), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), onEnd_(std::move(onEnd)) {
  pending_[0] = Pending{std::move(first), Clock::now()};
}

ReaderChannel::~ReaderChannel() {
  close(socket_);
  if (wake_ >= 0) close(wake_);
}

bool ReaderChannel::Ask(const ReaderRequest& request, Callback callback) {
  {
    std::lock_guard lock(mutex_);
    if (!open_) return false;
    uint32_t id = nextId_++;
    // The number of the first answer is not given again.
    if (nextId_ == 0) open_ = false;
    Put(&outbox_, kHeadBytes + 17 + request.name.size(), 4);
    Put(&outbox_, id, 4);
    Put(&outbox_, static_cast<uint8_t>(request.operation), 1);
    Put(&outbox_, request.node, 8);
    Put(&outbox_, request.offset, 8);
    Put(&outbox_, request.length, 4);
    outbox_ += request.name;
    pending_[id] = Pending{std::move(callback), Clock::now()};
    usedAt_ = Clock::now();
    // Mostly there is room, and the thread need not wake for it.
    ssize_t sent = send(socket_, outbox_.data(), outbox_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) outbox_.erase(0, static_cast<size_t>(sent));
    if (outbox_.empty()) return true;
  }
  Wake();
  return true;
}

void ReaderChannel::Retire() {
  {
    std::lock_guard lock(mutex_);
    open_ = false;
  }
  Wake();
}

void ReaderChannel::End() {
  {
    std::lock_guard lock(mutex_);
    open_ = false;
    ending_ = true;
  }
  Wake();
}

double ReaderChannel::IdleMs() {
  std::lock_guard lock(mutex_);
  if (!pending_.empty()) return 0;
  return std::chrono::duration<double, std::milli>(Clock::now() - usedAt_).count();
}

void ReaderChannel::Wake() {
  uint64_t one = 1;
  // It can only be full of earlier wakes.
  (void)!write(wake_, &one, sizeof(one));
}

void ReaderChannel::Run() {
  while (Wait()) {
  }
  std::map<uint32_t, Pending> failed;
  {
    std::lock_guard lock(mutex_);
    open_ = false;
    failed.swap(pending_);
  }
  // Whoever asks again because of the failure below must find that this channel has ended.
  onEnd_(this);
  for (auto& [id, pending] : failed) pending.callback(EIO, nullptr, 0);
  shutdown(socket_, SHUT_RDWR);
}

// False at the end.
bool ReaderChannel::Wait() {
  pollfd waits[] = {{socket_, POLLIN, 0}, {wake_, POLLIN, 0}};
  {
    std::lock_guard lock(mutex_);
    if (ending_ || (!open_ && pending_.empty())) return false;
    if (!pending_.empty() && Clock::now() - pending_.begin()->second.since > kTimeout) return false;
    if (!outbox_.empty()) waits[0].events |= POLLOUT;
  }
  if (poll(waits, 2, kPollMs) < 0) return errno == EINTR;
  uint64_t count;
  if (waits[1].revents != 0) (void)!read(wake_, &count, sizeof(count));
  if ((waits[0].revents & POLLOUT) != 0 && !Send()) return false;
  return (waits[0].revents & ~POLLOUT) == 0 || Receive();
}

bool ReaderChannel::Send() {
  std::lock_guard lock(mutex_);
  ssize_t sent = send(socket_, outbox_.data(), outbox_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  outbox_.erase(0, static_cast<size_t>(sent));
  return true;
}

bool ReaderChannel::Receive() {
  size_t held = received_.size();
  received_.resize(held + kReceiveBytes);
  ssize_t count = recv(socket_, received_.data() + held, kReceiveBytes, MSG_DONTWAIT);
  received_.resize(held + (count > 0 ? static_cast<size_t>(count) : 0));
  if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
  size_t at = 0;
  while (received_.size() - at >= 4) {
    size_t length = NumberAt(received_, at);
    if (length < kHeadBytes || length > kFrameBytesMax) return false;
    if (received_.size() - at - 4 < length) break;
    std::vector<uint8_t> frame(received_.begin() + static_cast<ptrdiff_t>(at + 4),
                               received_.begin() + static_cast<ptrdiff_t>(at + 4 + length));
    if (!Deliver(frame)) return false;
    at += 4 + length;
  }
  received_.erase(received_.begin(), received_.begin() + static_cast<ptrdiff_t>(at));
  if (received_.empty() && received_.capacity() > kKeptBytes) received_ = {};
  return true;
}

bool ReaderChannel::Deliver(const std::vector<uint8_t>& frame) {
  Callback callback;
  {
    std::lock_guard lock(mutex_);
    auto found = pending_.find(NumberAt(frame, 0));
    if (found == pending_.end()) return false;
    callback = std::move(found->second.callback);
    pending_.erase(found);
    usedAt_ = Clock::now();
  }
  auto error = static_cast<int>(NumberAt(frame, 4));
  // What is no errno is a failure all the same.
  if (error < 0 || error > 4095) error = EIO;
  callback(error, frame.data() + kHeadBytes, frame.size() - kHeadBytes);
  return true;
}

}  // namespace basalt
