// Files in trees: what the kernel asks goes to the reader of the file system, and its answer to the kernel. Nothing is kept of
// them here but while they are open: a tree may have any number of files.
#include "fuse-answers.h"
#include "fuse-operations.h"
#include "fuse-session.h"

namespace basalt {

namespace {

// What is in a backup never changes; the root is believed for as long as the folders on the way to it.
constexpr double kTreeSeconds = 3600;
constexpr double kRootSeconds = 1;
// Positions in a folder: "." and ".." come before what the reader lists.
constexpr uint64_t kDots = 2;
// Pages of a folder without one name that can be shown.
// Callers that are known to be permitted; beyond, all are asked about again.
constexpr size_t kPermitsMax = 1024;
constexpr int kEmptyPagesMax = 64;
// Runs of data that touch each other.
constexpr int kHolesMax = 65536;
constexpr uint32_t kTextBytesMax = 64 << 10;
constexpr uint32_t kPiecesAtOpen = 64;

TreeNodes NodesOf(const OpenTree& tree) { return TreeNodes{tree.node, tree.root, kTreeNodeMask}; }

}  // namespace

fuse_entry_param FuseSession::EntryOf(fuse_req_t request, const OpenTree& tree, const struct stat& attributes) const {
  fuse_entry_param entry{};
  entry.ino = attributes.st_ino;
  entry.generation = tree.generation;
  entry.attr = Shown(request, attributes);
  entry.attr_timeout = AttributeSeconds(kTreeSeconds);
  entry.entry_timeout = kTreeSeconds;
  return entry;
}

// The owner is asked about the caller once for all that is in a tree, and again when that was a while ago.
void FuseSession::IfPermitted(fuse_req_t request, uint64_t node, std::function<void()> action) {
  const fuse_ctx* caller = fuse_req_ctx(request);
  bool isPermitted = !configuration_.allowOther || caller->uid == 0;
  FuseEvent event{FuseEvent::Kind::permit};
  event.node = node & ~kTreeNodeMask;
  event.uid = caller->uid;
  event.gid = caller->gid;
  {
    std::lock_guard lock(mutex_);
    auto found = permits_.find({event.node, event.uid, event.gid});
    isPermitted = isPermitted || (found != permits_.end() && found->second > std::chrono::steady_clock::now());
    if (!isPermitted && !stopping_) {
      event.token = nextToken_++;
      pending_[event.token] = Pending{event.kind, request, event.node, {}, 0, {}, std::move(action)};
      post_(std::move(event));
      return;
    }
  }
  if (isPermitted) action();
  else fuse_reply_err(request, EIO);
}

void FuseSession::Permit(uint64_t token, double forMs) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (!pending) return;
  const fuse_ctx* caller = fuse_req_ctx(pending->request);
  {
    std::lock_guard lock(mutex_);
    if (permits_.size() >= kPermitsMax) permits_.clear();
    permits_[{pending->node, caller->uid, caller->gid}] =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(forMs));
  }
  if (pending->action) pending->action();
}

void FuseSession::TreeLookup(fuse_req_t request, uint64_t parent, const char* name) {
  AskTree(parent, {ReaderOperation::kLookup, 0, 0, 0, name}, [request, this](const OpenTree* tree, int error, const uint8_t* body, size_t length) {
    fuse_entry_param entry{};
    if (error == ENOENT) {
      // It is believed that there is nothing.
      entry.entry_timeout = kTreeSeconds;
      fuse_reply_entry(request, &entry);
      return;
    }
    AnswerCursor answer(body, length);
    std::optional<struct stat> attributes;
    if (error == 0) attributes = TakeAttributes(answer, NodesOf(*tree));
    if (!attributes) {
      fuse_reply_err(request, error != 0 ? error : EIO);
      return;
    }
    entry = EntryOf(request, *tree, *attributes);
    fuse_reply_entry(request, &entry);
  });
}

// The root of a tree as a folder of the view; where the tree can't tell what it is like now, as the view would show it.
void FuseSession::TreeEntry(fuse_req_t request, FuseNodeInfo info) {
  AskTree(info.tree, {ReaderOperation::kStat, 0, 0, 0, {}}, [=, this](const OpenTree* tree, int error, const uint8_t* body, size_t length) {
    AnswerCursor answer(body, length);
    std::optional<struct stat> attributes;
    if (error == 0) attributes = TakeAttributes(answer, NodesOf(*tree));
    const bool isRoot = attributes && S_ISDIR(attributes->st_mode);
    if (isRoot) attributes->st_ino = info.node;
    ReplyKnown(request, info, isRoot ? &*attributes : nullptr);
  });
}

void FuseSession::Redirect(uint64_t token, uint64_t tree) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (!pending) return;
  {
    std::lock_guard lock(mutex_);
    auto found = nodes_.find(pending->node);
    if (found != nodes_.end()) found->second.info.tree = tree;
  }
  if (pending->kind == FuseEvent::Kind::lookup) return TreeLookup(pending->request, tree, pending->name.c_str());
  Handle handle;
  handle.tree = tree;
  fuse_file_info file = pending->file;
  file.fh = AddHandle(std::move(handle));
  file.keep_cache = 1;
  file.cache_readdir = 1;
  if (fuse_reply_open(pending->request, &file) != 0) Release(file);
}

void FuseSession::TreeAttributes(fuse_req_t request, uint64_t node, uint64_t shownAs) {
  AskTree(node, {ReaderOperation::kStat, 0, 0, 0, {}}, [=, this](const OpenTree* tree, int error, const uint8_t* body, size_t length) {
    AnswerCursor answer(body, length);
    std::optional<struct stat> attributes;
    if (error == 0) attributes = TakeAttributes(answer, NodesOf(*tree));
    if (!attributes) {
      fuse_reply_err(request, error != 0 ? error : EIO);
      return;
    }
    if (shownAs != 0) attributes->st_ino = shownAs;
    const struct stat shown = Shown(request, *attributes);
    fuse_reply_attr(request, &shown, AttributeSeconds(shownAs == 0 ? kTreeSeconds : kRootSeconds));
  });
}

namespace {

// A page of a folder, as the kernel wants it.
class Page {
 public:
  Page(fuse_req_t request, size_t size, bool withNodes) : request_(request), bytes_(size), withNodes_(withNodes) {}

  // False where there is no room for it.
  bool Add(const std::string& name, const fuse_entry_param& entry, uint64_t next) {
    char* to = bytes_.data() + used_;
    const size_t left = bytes_.size() - used_;
    const size_t needed = withNodes_ ? fuse_add_direntry_plus(request_, to, left, name.c_str(), &entry, static_cast<off_t>(next))
                                     : fuse_add_direntry(request_, to, left, name.c_str(), &entry.attr, static_cast<off_t>(next));
    if (needed > left) return false;
    used_ += needed;
    return true;
  }
  bool isEmpty() const { return used_ == 0; }
  void Reply() const { fuse_reply_buf(request_, bytes_.data(), used_); }

 private:
  fuse_req_t request_;
  std::vector<char> bytes_;
  size_t used_ = 0;
  bool withNodes_;
};

// What a folder is called in itself: of such a name the kernel wants no node.
fuse_entry_param DotOf(uint64_t node) {
  fuse_entry_param entry{};
  entry.attr.st_ino = node;
  entry.attr.st_mode = S_IFDIR;
  return entry;
}

}  // namespace

void FuseSession::TreeList(fuse_req_t request, uint64_t node, size_t size, uint64_t offset, bool withNodes, int attempts) {
  const uint64_t position = offset <= kDots ? 0 : offset - kDots;
  ReaderRequest list{ReaderOperation::kList, 0, position, static_cast<uint32_t>(std::min<size_t>(size, kTextBytesMax)), {}};
  AskTree(node, std::move(list), [=, this](const OpenTree* tree, int error, const uint8_t* body, size_t length) {
    if (error != 0) {
      fuse_reply_err(request, error);
      return;
    }
    Page page(request, size, withNodes);
    uint64_t at = position;
    bool isFull = false;
    if (offset < 1) isFull = !page.Add(".", DotOf(node), 1);
    if (offset < 2 && !isFull) isFull = !page.Add("..", DotOf(tree->node), 2);
    AnswerCursor answer(body, length);
    const bool ended = answer.U8() == 1;
    while (!isFull && !answer.ended()) {
      const uint64_t next = answer.U64();
      std::optional<struct stat> attributes = TakeAttributes(answer, NodesOf(*tree));
      const std::string name = answer.Text();
      if (!answer.whole() || next <= at || next > INT64_MAX - kDots) {
        fuse_reply_err(request, EIO);
        return;
      }
      // A file whose attributes are damaged has a name all the same: who asks for it learns that it can't be read.
      fuse_entry_param entry = attributes ? EntryOf(request, *tree, *attributes) : fuse_entry_param{};
      if (!attributes) entry.attr.st_ino = tree->node | kTreeNodeMask;
      if (IsName(name) && !page.Add(name, entry, next + kDots)) isFull = true;
      if (!isFull) at = next;
    }
    if (!page.isEmpty() || ended || isFull) return page.Reply();
    if (at == position || attempts >= kEmptyPagesMax) fuse_reply_err(request, EIO);
    else TreeList(request, node, size, at + kDots, withNodes, attempts + 1);
  });
}

// A link, an attribute, or the names of all.
void FuseSession::TreeText(fuse_req_t request, uint64_t node, ReaderOperation operation, const std::string& name, size_t size) {
  IfPermitted(request, node, [=, this] { TreeTextPermitted(request, node, operation, name, size); });
}

void FuseSession::TreeTextPermitted(fuse_req_t request, uint64_t node, ReaderOperation operation, const std::string& name,
                                    size_t size) {
  AskTree(node, {operation, 0, 0, 0, name}, [=](const OpenTree*, int error, const uint8_t* body, size_t length) {
    if (error != 0) {
      fuse_reply_err(request, error);
    } else if (operation == ReaderOperation::kReadLink) {
      const std::string target(reinterpret_cast<const char*>(body), length);
      fuse_reply_readlink(request, target.c_str());
    } else if (length > kTextBytesMax) {
      fuse_reply_err(request, E2BIG);
    } else if (size == 0) {
      fuse_reply_xattr(request, length);
    } else if (length > size) {
      fuse_reply_err(request, ERANGE);
    } else {
      fuse_reply_buf(request, reinterpret_cast<const char*>(body), length);
    }
  });
}

void FuseSession::TreeOpen(fuse_req_t request, uint64_t node, const fuse_file_info& asked) {
  ReaderRequest locate{ReaderOperation::kLocate, 0, 0, kPiecesAtOpen, {}};
  AskTree(node, std::move(locate), [=, this](const OpenTree* tree, int error, const uint8_t* body, size_t length) {
    AnswerCursor answer(body, length);
    std::optional<struct stat> attributes;
    if (error == 0) attributes = TakeAttributes(answer, NodesOf(*tree));
    if (!attributes || !S_ISREG(attributes->st_mode)) {
      fuse_reply_err(request, error != 0 ? error : EIO);
      return;
    }
    auto opened = std::make_shared<FuseFile>();
    opened->node = node;
    opened->bytes = static_cast<uint64_t>(attributes->st_size);
    opened->source = tree->source;
    opened->inTree = true;
    TakePieces(answer, *opened);
    Handle handle;
    handle.file = std::move(opened);
    fuse_file_info file = asked;
    file.keep_cache = 1;
    file.noflush = 1;
    file.fh = AddHandle(std::move(handle));
    if (fuse_reply_open(request, &file) != 0) Release(file);
  });
}

void FuseSession::Seek(fuse_req_t request, uint64_t node, off_t offset, int whence) {
  const auto from = static_cast<uint64_t>(offset);
  if (IsInTree(node)) return TreeSeek(request, node, from, from, whence, 0);
  // An image is one run of data. (To say that this can't be told would say it for all files of the mount.)
  uint64_t bytes = 0;
  {
    std::lock_guard lock(mutex_);
    auto found = nodes_.find(node);
    if (found != nodes_.end()) bytes = found->second.info.sizeBytes;
  }
  if (from >= bytes) fuse_reply_err(request, ENXIO);
  else fuse_reply_lseek(request, static_cast<off_t>(whence == SEEK_DATA ? from : bytes));
}

// Data is where the reader says; a hole is behind runs of data that touch each other.
void FuseSession::TreeSeek(fuse_req_t request, uint64_t node, uint64_t from, uint64_t offset, int whence, int attempts) {
  AskTree(node, {ReaderOperation::kNextData, 0, offset, 0, {}}, [=, this](const OpenTree*, int error, const uint8_t* body, size_t length) {
    AnswerCursor answer(body, length);
    const uint64_t data = answer.U64();
    const uint64_t bytes = answer.U64();
    const bool makesSense = answer.whole() && data <= INT64_MAX && bytes <= INT64_MAX - data && (bytes == 0 || data >= offset);
    if (error != 0 || !makesSense || attempts > kHolesMax) {
      fuse_reply_err(request, error != 0 ? error : EIO);
    } else if (bytes == 0 && (whence == SEEK_DATA || (data <= offset && from == offset))) {
      // No data any more, or the end of the file: behind that there is not even a hole.
      fuse_reply_err(request, ENXIO);
    } else if (whence == SEEK_DATA) {
      fuse_reply_lseek(request, static_cast<off_t>(data));
    } else if (bytes == 0 || data > offset) {
      fuse_reply_lseek(request, static_cast<off_t>(offset));
    } else {
      TreeSeek(request, node, from, data + bytes, whence, attempts + 1);
    }
  });
}

}  // namespace basalt
