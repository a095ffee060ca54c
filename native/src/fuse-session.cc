// Life of a FUSE session: mount, threads, stop. The mount is made with mount(2) and not by libfuse, so that no helper
// program runs and the teardown order is ours. Sources: mount(8) "fuse", Documentation/filesystems/fuse.rst, libfuse 3.14.
#include "fuse-session.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "fuse-operations.h"
#include "worker.h"

namespace basalt {

namespace {

constexpr size_t kThreadStackBytes = 256 << 10;
constexpr size_t kAheadSlotsMax = 4;
constexpr auto kStopPoll = std::chrono::milliseconds(1);

Failure Failed(const char* syscall, int number) { return Failure{ErrnoName(number), syscall, number, -1}; }

// The kernel writes space, tab, newline and backslash as \ooo.
std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); at++) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(at + 1, 3), nullptr, 8));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

void* ThreadMain(void* given) {
  std::unique_ptr<std::function<void()>> action(static_cast<std::function<void()>*>(given));
  (*action)();
  return nullptr;
}

ssize_t Receive(int device, void* out, size_t length, void*) { return read(device, out, length); }

// libfuse 3.14 never tells the kernel that names of one folder may be looked up at the same time. They must be: who looks into
// files/ waits for a reader, which opens the image beside it. The answer to the first request of a session says it.
ssize_t Send(int device, iovec* parts, int count, void* session) {
  fuse_init_out answer;
  if (count == 2 && parts[1].iov_len == sizeof(answer) && static_cast<FuseSession*>(session)->IsFirstAnswer()) {
    memcpy(&answer, parts[1].iov_base, sizeof(answer));
    answer.flags |= FUSE_PARALLEL_DIROPS;
    parts[1].iov_base = &answer;
  }
  return writev(device, parts, count);
}

}  // namespace

std::string MountedDevice(const std::string& path, const std::string& type) {
  std::ifstream table("/proc/self/mountinfo");
  std::string line, found;
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, word;
    fields >> id >> parent >> device >> root >> point;
    if (Unescape(point) != path) continue;
    while (fields >> word && word != "-") {
    }
    fields >> word;
    found = word == type ? device : "";  // the last one is on top
  }
  return found;
}

FuseSession::FuseSession(FuseConfiguration configuration, Post post)
    : configuration_(std::move(configuration)),
      post_(std::move(post)),
      cache_(configuration_.memory, configuration_.slotBytes, configuration_.memoryBytes / configuration_.slotBytes) {
  // A read may pin half of the slots at most, so that a small cache still serves two readers at a time.
  size_t half = (cache_.count() - 1) / 2 * configuration_.slotBytes;
  readBytesMax_ = std::clamp(half, configuration_.slotBytes, std::max(kFuseReadBytesMax, configuration_.slotBytes));
  readBytesMax_ = std::min(readBytesMax_, kFuseReadBytesMax);
  aheadSlots_ = std::min(kAheadSlotsMax, cache_.count() / 8);
  KnownNode& root = nodes_[FUSE_ROOT_ID];
  root.info.node = FUSE_ROOT_ID;
  root.info.folder = true;
  root.info.mode = 0555;
  root.info.modifiedAtMs = static_cast<double>(time(nullptr)) * 1000;
  root.lookups = 1;
}

FuseSession::~FuseSession() { Stop(); }

std::optional<Failure> FuseSession::Start() {
  std::optional<Failure> failure = Mount();
  if (!failure) failure = StartThreads();
  if (!failure) {
    // The first request returns when the kernel and the threads have agreed on the protocol.
    struct stat attributes;
    if (stat(configuration_.mountPoint.c_str(), &attributes) != 0) failure = Failed("stat", errno);
  }
  if (failure) {
    Stop();
    return failure;
  }
  // Larger steps for sequential readers. What the kernel does not let us raise stays at its default.
  std::ofstream("/sys/class/bdi/" + device_ + "/read_ahead_kb") << readBytesMax_ / 1024;
  return std::nullopt;
}

std::optional<Failure> FuseSession::Mount() {
  fuse_set_log_func([](fuse_log_level, const char*, va_list) {});
  int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return Failed("open /dev/fuse", errno);

  std::string program = "basalt";
  std::array<char*, 2> arguments = {program.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments.data());
  session_ = fuse_session_new(&args, &FuseOperations(), sizeof(fuse_lowlevel_ops), this);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) {
    close(device);
    return Failed("fuse_session_new", EINVAL);
  }
  std::string options = "fd=" + std::to_string(device) + ",rootmode=40555,user_id=0,group_id=0" +
                        (configuration_.allowOther ? ",allow_other" : "") + ",max_read=" + std::to_string(readBytesMax_);
  std::string type = MountType();
  if (mount(configuration_.name.c_str(), configuration_.mountPoint.c_str(), type.c_str(),
            MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0) {
    int number = errno;
    close(device);
    return Failed("mount", number);
  }
  device_ = MountedDevice(configuration_.mountPoint, type);
  const fuse_custom_io ways{Send, Receive, nullptr, nullptr};
  if (int number = fuse_session_custom_io(session_, &ways, device); number != 0) {
    close(device);
    return Failed("fuse_session_custom_io", -number);
  }
  return std::nullopt;
}

int StartThread(std::function<void()> action, pthread_t* joinable) {
  // Signals belong to the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kThreadStackBytes);
  if (joinable == nullptr) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto given = std::make_unique<std::function<void()>>(std::move(action));
  pthread_t thread;
  int number = pthread_create(&thread, &attributes, ThreadMain, given.get());
  if (number == 0) (void)given.release();
  if (number == 0 && joinable != nullptr) *joinable = thread;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return number;
}

std::optional<Failure> FuseSession::StartThreads() {
  for (uint32_t at = 0; at < configuration_.threads; at++) {
    pthread_t thread;
    int number = StartThread([this] { Serve(); }, &thread);
    if (number != 0) return Failed("pthread_create", number);
    threads_.push_back(thread);
  }
  return std::nullopt;
}

// A thread may be cancelled only while it waits for the kernel: that ends a wait that no request will end, and at any
// other place it would leave a lock behind.
void FuseSession::Serve() {
  struct Buffer {
    fuse_buf value{};
    ~Buffer() { free(value.mem); }
  } buffer;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  while (!fuse_session_exited(session_)) {
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    int received = fuse_session_receive_buf(session_, &buffer.value);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    if (received == -EINTR || received == -EAGAIN) continue;
    if (received <= 0) break;
    fuse_session_process_buf(session_, &buffer.value);
  }
  std::lock_guard lock(mutex_);
  if (!stopping_ && !ended_.exchange(true)) post_(FuseEvent{FuseEvent::Kind::end});
}

void FuseSession::Stop() {
  std::lock_guard once(stopMutex_);
  if (stopped_) return;
  stopped_ = true;
  FailPending();
  if (session_ == nullptr) return EndTrees();
  fuse_session_exit(session_);
  Detach();
  for (pthread_t thread : threads_) pthread_cancel(thread);
  for (pthread_t thread : threads_) pthread_join(thread, nullptr);
  EndTrees();
  FailPending();
  // Nobody finds a request to answer any more: those who are at it end soon.
  while (answering_ > 0) std::this_thread::sleep_for(kStopPoll);
  // Closing the device ends the connection: whoever still has a file open gets an error and does not wait.
  fuse_session_destroy(session_);
  session_ = nullptr;
}

// Once the kernel has ended our mount its device number may be that of another one.
void FuseSession::Detach() {
  if (ended_ || device_.empty()) return;
  if (MountedDevice(configuration_.mountPoint, MountType()) != device_) return;
  umount2(configuration_.mountPoint.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

void FuseSession::FailPending() {
  std::vector<fuse_req_t> requests;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [token, pending] : pending_) requests.push_back(pending.request);
    for (FuseRead* read : waiting_) requests.push_back(read->request);
    for (FuseRead* read : queued_) requests.push_back(read->request);
    for (FuseRead* read : ungathered_) requests.push_back(read->request);
    for (FuseRead* read : waiting_) delete read;
    for (FuseRead* read : queued_) delete read;
    for (FuseRead* read : ungathered_) delete read;
    pending_.clear();
    fills_.clear();
    waiting_.clear();
    queued_.clear();
    ungathered_.clear();
  }
  for (fuse_req_t request : requests) fuse_reply_err(request, EIO);
}

}  // namespace basalt
