// A FUSE session: one read-only mount, its worker threads, what the kernel knows of it, and the slot cache.
//
//   kernel -> worker thread -> hit:  answered from the cache at once
//                           -> miss: an event for the owner, who answers later through one of the functions below
//                           -> in a tree: a question to the reader of that file system, which knows names and where bytes are
//  A tree is a file system inside an image, read by a process of its own. The upper 16 bits of a node's number say which
//  tree it is in (0: none), the others are the reader's; 0 is the root.
//  Promises: every request is answered once; a read holds either all slots it needs or none, so readers can't wait for
//  each other in a circle; bytes of a slot that failed are never sent; Stop never waits for the owner or for open files.
//  Knows nothing of JavaScript: events go to `post`, from any thread.
#pragma once
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fuse-cache.h"
#include "fuse-file.h"
#include "reader-channel.h"

namespace basalt {

struct Failure;

struct FuseEvent {
  enum class Kind {
    lookup, readFolder, readLink, attribute, attributes, open, permit, forget, miss, tree, treeAnswer, treeEnd, end, stopped
  };
  Kind kind;
  uint64_t token = 0;
  uint64_t node = 0;  // for a lookup: the parent
  uint64_t offset = 0;
  size_t length = 0;
  uint32_t slot = 0;
  std::string name;
  uid_t uid = 0;  // who asks, for all but forget, miss and the ends
  gid_t gid = 0;
  std::vector<uint8_t> body;  // of the first answer of a reader; its errno is in `length`
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
  // A folder that is the root of a tree, by that node: it has its attributes and what is in it. 0: it is none, or not known to be.
  uint64_t tree = 0;
  // Where the bytes are: null, or in another file, of which this one is a window. Its slots are shared.
  std::shared_ptr<const FuseSource> source;
};

constexpr unsigned kTreeShift = 48;
constexpr uint64_t kTreeNodeMask = (uint64_t{1} << kTreeShift) - 1;
inline bool IsInTree(uint64_t node) { return node >> kTreeShift != 0; }

// A tree whose reader answers.
struct OpenTree {
  uint64_t node = 0;  // of its root
  uint64_t generation = 0;
  uint64_t root = 0;  // the reader's number of it
  std::shared_ptr<const FuseSource> source;
  std::shared_ptr<ReaderChannel> channel;
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

constexpr size_t kFusePiecesMax = 2 * kFuseSpanMax;

// A read, in steps: each takes what lies in a few slots. Mostly one is enough and the answer goes out from the slots; the bytes
// of a file that lies in many places are gathered first.
struct FuseRead {
  static constexpr uint32_t kZeros = UINT32_MAX;
  struct Piece {
    uint32_t slot = kZeros;  // number among the slots of the step
    size_t within = 0;
    size_t length = 0;
  };

  fuse_req_t request = nullptr;
  uint64_t handle = 0;
  std::shared_ptr<FuseFile> file;
  uint64_t offset = 0;
  size_t length = 0;
  size_t done = 0;     // bytes of the earlier steps
  size_t planned = 0;  // and of this one
  std::array<Piece, kFusePiecesMax> pieces;
  size_t pieceCount = 0;
  std::array<SlotKey, kFuseSpanMax> keys;
  std::array<uint64_t, kFuseSpanMax> fileBytes;  // size of the file that each key is of
  std::array<uint32_t, kFuseSpanMax> slots;
  size_t slotCount = 0;
  size_t missing = 0;
  int error = 0;
  bool waited = false;
  bool gathers = false;
  std::vector<uint8_t> gathered;
  uint64_t askedAt = UINT64_MAX;
  size_t asks = 0;
};

struct FuseRange {
  size_t offset = 0;
  size_t length = 0;
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
  // `bad`: ranges of the slot whose bytes are not to be sent; who wants some of them gets EIO, and they are asked for again.
  void Fill(uint64_t token, int error, const std::vector<FuseRange>& bad = {});
  void DropNode(uint64_t node);

  // The owner has started a reader and gives the socket to it, whose first answer comes as an event.
  void AttachTree(uint64_t node, uint64_t serial, int socket);
  void ServeTree(uint64_t node, uint64_t serial, OpenTree tree);
  // What waits for the tree fails; what comes later asks for it again.
  void FailTree(uint64_t node, int error);
  // Its reader is to end: what is under way is answered, what comes later asks for a new one.
  void DetachTree(uint64_t node);
  // How long nobody has asked its reader.
  double TreeIdleMs(uint64_t node);
  void Permit(uint64_t token, double forMs);
  // What was asked of a folder is to be answered by the tree that it is the root of.
  void Redirect(uint64_t token, uint64_t tree);
  FuseStatistics Statistics();

  // What the kernel asks; called by libfuse on worker threads.
  bool IsFirstAnswer() { return !answered_.exchange(true); }
  void Initialise(fuse_conn_info* connection);
  void Lookup(fuse_req_t request, uint64_t parent, const char* name);
  void Forget(uint64_t node, uint64_t lookups);
  void Attributes(fuse_req_t request, uint64_t node);
  void OpenFolder(fuse_req_t request, uint64_t node, const fuse_file_info& file);
  void ReadFolder(fuse_req_t request, uint64_t node, size_t size, off_t offset, const fuse_file_info& file, bool withNodes);
  void ReadLink(fuse_req_t request, uint64_t node);
  void Attribute(fuse_req_t request, uint64_t node, const char* name, size_t size);
  void AttributeNames(fuse_req_t request, uint64_t node, size_t size);
  void Open(fuse_req_t request, uint64_t node, const fuse_file_info& file);
  void Read(fuse_req_t request, uint64_t node, size_t size, off_t offset, const fuse_file_info& file);
  void Release(const fuse_file_info& file);
  void Seek(fuse_req_t request, uint64_t node, off_t offset, int whence);

 private:
  struct KnownNode {
    FuseNodeInfo info;
    uint64_t lookups = 0;
  };
  struct Pending {
    FuseEvent::Kind kind;
    fuse_req_t request;
    uint64_t node;
    fuse_file_info file;
    size_t size;  // of the caller's buffer, for an attribute
    std::string name;
    std::function<void()> action;  // of a permit
  };
  struct Handle {
    std::vector<FuseName> names;  // of a folder, as it was when it was opened
    uint64_t tree = 0;            // of a folder that is the root of one
    std::shared_ptr<FuseFile> file;
    uint64_t lastIndex = 0;       // of a file: the piece of the size of a slot that was read last, and how many came in order
    uint32_t run = 0;
  };
  using Lock = std::unique_lock<std::mutex>;
  // Who answers requests: Stop waits for them before the session goes. One may be within another.
  class Answering {
   public:
    explicit Answering(FuseSession& session) : session_(session) { session_.answering_++; }
    ~Answering() { session_.answering_--; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;

   private:
    FuseSession& session_;
  };

  std::optional<Failure> Mount();
  std::optional<Failure> StartThreads();
  void Detach();
  std::string MountType() const { return "fuse." + configuration_.name; }
  void FailPending();
  void Serve();
  void Ask(fuse_req_t request, FuseEvent event, const fuse_file_info& file);
  struct stat Shown(fuse_req_t request, struct stat attributes) const;
  double AttributeSeconds(double seconds) const;
  std::optional<Pending> Take(uint64_t token);
  uint64_t AddHandle(Handle handle);

  using TreeCallback = std::function<void(const OpenTree* tree, int error, const uint8_t* body, size_t length)>;
  struct TreeQuestion {
    ReaderRequest request;
    TreeCallback callback;
    int attempts = 0;
  };
  struct Tree {
    std::shared_ptr<const OpenTree> open;
    std::shared_ptr<ReaderChannel> channel;  // of the reader that was started last
    uint64_t serial = 0;
    bool asked = false;
    bool served = false;  // the reader that was started last has been asked, or could have been
    std::vector<TreeQuestion> waiting;
  };

  // Asks the reader of the tree that `node` is in. The callback is called once, on any thread, maybe before this returns.
  void AskTree(uint64_t node, ReaderRequest request, TreeCallback callback, int attempts = 3);
  void EndTree(uint64_t node, uint64_t serial);
  void CloseTree(uint64_t node, const OpenTree* tree);
  void EndTrees();
  void DropTree(uint64_t node);
  uint64_t TreeOf(uint64_t node);
  // Does what is asked of a tree, now or when the owner has said that the caller may.
  void IfPermitted(fuse_req_t request, uint64_t node, std::function<void()> action);
  void TreeLookup(fuse_req_t request, uint64_t parent, const char* name);
  // `shownAs`: the node of the folder that is the root of the tree, 0 for all others.
  void TreeAttributes(fuse_req_t request, uint64_t node, uint64_t shownAs = 0);
  void TreeEntry(fuse_req_t request, FuseNodeInfo info);
  void ReplyKnown(fuse_req_t request, const FuseNodeInfo& info, const struct stat* attributes);
  void TreeList(fuse_req_t request, uint64_t node, size_t size, uint64_t offset, bool withNodes, int attempts);
  void TreeText(fuse_req_t request, uint64_t node, ReaderOperation operation, const std::string& name, size_t size);
  void TreeTextPermitted(fuse_req_t request, uint64_t node, ReaderOperation operation, const std::string& name, size_t size);
  fuse_entry_param EntryOf(fuse_req_t request, const OpenTree& tree, const struct stat& attributes) const;
  void TreeOpen(fuse_req_t request, uint64_t node, const fuse_file_info& file);
  void TreeSeek(fuse_req_t request, uint64_t node, uint64_t from, uint64_t offset, int whence, int attempts);

  // Each takes the read over, and lets go of the lock for a while.
  void Advance(Lock& lock, FuseRead* read);
  void End(Lock& lock, FuseRead* read, int error);
  void AskPieces(FuseRead* read);
  void AddPieces(FuseRead* read, const OpenTree* tree, int error, const uint8_t* body, size_t length);
  Located::What Plan(FuseRead& read);
  bool Reserve(FuseRead& read);
  bool TouchesBad(const FuseRead& read, size_t at);
  void ReserveUndo(FuseRead& read, const std::vector<uint32_t>& claimed);
  void AskFill(uint32_t slot, uint64_t fileBytes);
  void ReadAhead(const FuseRead& read);
  // True where it was the last step.
  bool Finish(Lock& lock, FuseRead& read);
  void Pump(Lock& lock);
  // Asks readers what was put off while the lock was held.
  void AskLater(Lock& lock);

  const FuseConfiguration configuration_;
  const Post post_;
  size_t readBytesMax_ = 0;
  size_t aheadSlots_ = 0;

  std::atomic<int> answering_ = 0;
  std::mutex stopMutex_;
  bool stopped_ = false;

  fuse_session* session_ = nullptr;
  std::string device_;  // "major:minor" of the mount, so that only our own is ever detached
  std::vector<pthread_t> threads_;
  std::atomic<bool> ended_ = false;
  std::atomic<bool> answered_ = false;

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
  std::deque<FuseRead*> ungathered_;       // wait until fewer reads gather bytes
  size_t gathering_ = 0;
  std::deque<std::function<void()>> later_;
  std::map<std::tuple<uint64_t, uid_t, gid_t>, std::chrono::steady_clock::time_point> permits_;  // of whom for which tree, until when
  FuseStatistics statistics_;

  std::mutex treesMutex_;  // all below; taken after the other one
  bool treesEnded_ = false;
  std::unordered_map<uint64_t, Tree> trees_;  // by their root
  std::vector<std::shared_ptr<ReaderChannel>> channels_;  // whose threads run
  std::condition_variable channelsEnded_;
};

// A thread with a small stack that no signal goes to, running `action` and nobody waiting for it. 0, or an errno.
int StartThread(std::function<void()> action, pthread_t* joinable = nullptr);

// "major:minor" of what is mounted on top at `path`; empty where that is nothing, or not of `type`.
std::string MountedDevice(const std::string& path, const std::string& type);

}  // namespace basalt
