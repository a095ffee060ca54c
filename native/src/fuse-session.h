// A FUSE session: one read-only mount, its worker threads, what the kernel knows of it, and the slot cache.
//
//   kernel -> worker thread -> hit:  answered from the cache at once
//                           -> miss: an event for the owner, who answers later through one of the functions below
//  Promises: every request is answered once; a read holds either all slots it needs or none, so readers can't wait for
//  each other in a circle; bytes of a slot that failed are never sent; Stop never waits for the owner or for open files.
//  Knows nothing of JavaScript: events go to `post`, from any thread.
#pragma once
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fuse-cache.h"

namespace basalt {

struct Failure;

struct FuseEvent {
  enum class Kind { lookup, readFolder, readLink, attribute, attributes, open, forget, miss, end, stopped };
  Kind kind;
  uint64_t token = 0;
  uint64_t node = 0;  // for a lookup: the parent
  uint64_t offset = 0;
  size_t length = 0;
  uint32_t slot = 0;
  std::string name;
  uid_t uid = 0;  // who asks, for all but forget, miss and the ends
  gid_t gid = 0;
};

struct FuseNodeInfo {
  uint64_t node = 0;
  bool folder = false;
  bool link = false;
  uint64_t sizeBytes = 0;
  uint32_t mode = 0;
  double modifiedAtMs = 0;
  // Not everybody may see the name: the kernel asks anew for each caller.
  bool guarded = false;
  // Where the bytes are: 0, or another file of which this one is the window from `sourceOffset`. Its slots are shared.
  uint64_t sourceNode = 0;
  uint64_t sourceOffset = 0;
  uint64_t sourceBytes = 0;  // size of that file
};

struct FuseName {
  std::string name;
  uint64_t node;
  bool folder;
  bool link = false;
};

struct FuseConfiguration {
  std::string mountPoint;
  std::string name;
  uint8_t* memory = nullptr;
  size_t memoryBytes = 0;
  size_t slotBytes = 0;
  uint32_t threads = 1;
  bool allowOther = false;     // others than root are let in; who sees what is for the owner to say
  bool callerOwnsAll = false;  // each caller is shown himself as the owner, and what he needs to read
};

constexpr size_t kFuseReadBytesMax = 1 << 20;
constexpr size_t kFuseSlotBytesMin = 64 << 10;
constexpr size_t kFuseSpanMax = kFuseReadBytesMax / kFuseSlotBytesMin + 1;

struct FuseRead {
  fuse_req_t request = nullptr;
  uint64_t node = 0;       // whose slots are read, and the range there
  uint64_t offset = 0;
  uint64_t fileBytes = 0;  // size of that file
  size_t length = 0;
  std::array<uint32_t, kFuseSpanMax> slots{};
  size_t slotCount = 0;
  size_t missing = 0;
  int error = 0;
};

struct FuseStatistics {
  uint64_t reads = 0;
  uint64_t hits = 0;
  uint64_t misses = 0;
  size_t usedSlots = 0;
};

class FuseSession {
 public:
  using Post = std::function<void(FuseEvent&&)>;

  FuseSession(FuseConfiguration configuration, Post post);
  ~FuseSession();
  FuseSession(const FuseSession&) = delete;
  FuseSession& operator=(const FuseSession&) = delete;

  // Mounts, starts the threads, and waits until the kernel talks to them.
  std::optional<Failure> Start();
  // Fails what is under way, detaches the mount and joins the threads. May be called more than once, from any thread but
  // a worker's. No event is posted after it has returned.
  void Stop();

  void AnswerNode(uint64_t token, const FuseNodeInfo* node);
  void AnswerFolder(uint64_t token, std::vector<FuseName> names);
  void AnswerLink(uint64_t token, const std::string& target);
  // An extended attribute, or the names of all, each with a zero byte behind it; null where there is no such attribute.
  void AnswerAttribute(uint64_t token, const std::string* value);
  void AnswerOpen(uint64_t token, int error);
  void AnswerError(uint64_t token, int error);
  void Fill(uint64_t token, int error);
  void DropNode(uint64_t node);
  FuseStatistics Statistics();

  // What the kernel asks; called by libfuse on worker threads.
  void Initialise(fuse_conn_info* connection);
  void Lookup(fuse_req_t request, uint64_t parent, const char* name);
  void Forget(uint64_t node, uint64_t lookups);
  void Attributes(fuse_req_t request, uint64_t node);
  void OpenFolder(fuse_req_t request, uint64_t node, const fuse_file_info& file);
  void ReadFolder(fuse_req_t request, size_t size, off_t offset, const fuse_file_info& file);
  void ReadLink(fuse_req_t request, uint64_t node);
  void Attribute(fuse_req_t request, uint64_t node, const char* name, size_t size);
  void AttributeNames(fuse_req_t request, uint64_t node, size_t size);
  void Open(fuse_req_t request, uint64_t node, const fuse_file_info& file);
  void Read(fuse_req_t request, uint64_t node, size_t size, off_t offset, const fuse_file_info& file);
  void Release(const fuse_file_info& file);

 private:
  struct KnownNode {
    FuseNodeInfo info;
    uint64_t lookups = 0;
  };
  struct Pending {
    fuse_req_t request;
    uint64_t node;
    fuse_file_info file;
    size_t size;  // of the caller's buffer, for an attribute
  };
  struct Handle {
    std::vector<FuseName> names;  // of a folder, as it was when it was opened
    uint64_t lastIndex = 0;       // of a file: the slot read last, and how many in a row came in order
    uint32_t run = 0;
  };
  using Lock = std::unique_lock<std::mutex>;

  std::optional<Failure> Mount();
  std::optional<Failure> StartThreads();
  void Detach();
  std::string MountType() const { return "fuse." + configuration_.name; }
  void FailPending();
  void Serve();
  void Ask(fuse_req_t request, FuseEvent event, const fuse_file_info& file);
  struct stat Shown(fuse_req_t request, const FuseNodeInfo& info) const;
  double AttributeSeconds(const FuseNodeInfo& info) const;
  std::optional<Pending> Take(uint64_t token);
  uint64_t AddHandle(Handle handle);

  bool Reserve(FuseRead& read);
  void ReserveUndo(FuseRead& read, const std::vector<uint32_t>& claimed);
  void AskFill(uint32_t slot, uint64_t fileBytes);
  void ReadAhead(const FuseRead& read, uint64_t endBytes, Handle& handle);
  void Reply(const FuseRead& read);
  void Finish(Lock& lock, FuseRead& read);
  void Pump(Lock& lock);

  const FuseConfiguration configuration_;
  const Post post_;
  size_t readBytesMax_ = 0;
  size_t aheadSlots_ = 0;

  std::shared_mutex lifetime_;  // shared by who answers, so that the session is not destroyed meanwhile
  std::mutex stopMutex_;
  bool stopped_ = false;

  fuse_session* session_ = nullptr;
  std::string device_;  // "major:minor" of the mount, so that only our own is ever detached
  std::vector<pthread_t> threads_;
  std::function<void()> serve_;
  std::atomic<bool> ended_ = false;

  std::mutex mutex_;  // all below
  bool stopping_ = false;
  SlotCache cache_;
  uint64_t nextToken_ = 1;
  uint64_t nextHandle_ = 1;
  std::unordered_map<uint64_t, Pending> pending_;
  std::unordered_map<uint64_t, uint32_t> fills_;  // token to slot
  std::unordered_map<uint64_t, KnownNode> nodes_;
  std::unordered_map<uint64_t, Handle> handles_;
  std::unordered_set<FuseRead*> waiting_;  // hold their slots, wait for fills
  std::deque<FuseRead*> queued_;           // hold nothing, wait for slots
  FuseStatistics statistics_;
};

// "major:minor" of what is mounted on top at `path`; empty where that is nothing, or not of `type`.
std::string MountedDevice(const std::string& path, const std::string& type);

}  // namespace basalt
