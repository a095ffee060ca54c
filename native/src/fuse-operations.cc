// Names, attributes, folders and opening: all of FUSE but reading.
#include "fuse-operations.h"

#include <cmath>
#include <string_view>

#include "fuse-session.h"

namespace basalt {

namespace {

// A backup never changes, but it may go: files are believed for long, the folders and links on the way to them for a second.
constexpr double kFileSeconds = 3600;
constexpr double kFolderSeconds = 1;
constexpr std::string_view kAttributePrefix = "user.basalt.";
constexpr uint32_t kBackgroundMax = 16;

double SecondsOf(const FuseNodeInfo& info) { return info.folder || info.link ? kFolderSeconds : kFileSeconds; }

mode_t TypeOf(bool folder, bool link) { return folder ? S_IFDIR : link ? S_IFLNK : S_IFREG; }

struct stat AttributesOf(const FuseNodeInfo& info) {
  struct stat attributes {};
  attributes.st_ino = info.node;
  attributes.st_mode = TypeOf(info.folder, info.link) | (info.mode & 07777);
  attributes.st_nlink = info.folder ? 2 : 1;
  attributes.st_size = static_cast<off_t>(info.sizeBytes);
  attributes.st_blksize = 4096;
  attributes.st_blocks = static_cast<blkcnt_t>((info.sizeBytes + 511) / 512);
  double seconds = std::floor(info.modifiedAtMs / 1000);
  attributes.st_mtim.tv_sec = static_cast<time_t>(seconds);
  attributes.st_mtim.tv_nsec = static_cast<long>((info.modifiedAtMs - seconds * 1000) * 1e6);
  attributes.st_ctim = attributes.st_mtim;
  attributes.st_atim = attributes.st_mtim;
  return attributes;
}

FuseSession& Of(void* user) { return *static_cast<FuseSession*>(user); }
FuseSession& Of(fuse_req_t request) { return Of(fuse_req_userdata(request)); }

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops table{};
  table.init = [](void* user, fuse_conn_info* connection) { Of(user).Initialise(connection); };
  table.lookup = [](fuse_req_t request, fuse_ino_t parent, const char* name) { Of(request).Lookup(request, parent, name); };
  table.forget = [](fuse_req_t request, fuse_ino_t node, uint64_t lookups) {
    Of(request).Forget(node, lookups);
    fuse_reply_none(request);
  };
  table.forget_multi = [](fuse_req_t request, size_t count, fuse_forget_data* forgets) {
    for (size_t at = 0; at < count; at++) Of(request).Forget(forgets[at].ino, forgets[at].nlookup);
    fuse_reply_none(request);
  };
  table.getattr = [](fuse_req_t request, fuse_ino_t node, fuse_file_info*) { Of(request).Attributes(request, node); };
  table.opendir = [](fuse_req_t request, fuse_ino_t node, fuse_file_info* file) { Of(request).OpenFolder(request, node, *file); };
  table.readdir = [](fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
    Of(request).ReadFolder(request, node, size, offset, *file, false);
  };
  table.readdirplus = [](fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
    Of(request).ReadFolder(request, node, size, offset, *file, true);
  };
  table.lseek = [](fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info*) {
    Of(request).Seek(request, node, offset, whence);
  };
  table.readlink = [](fuse_req_t request, fuse_ino_t node) { Of(request).ReadLink(request, node); };
  table.getxattr = [](fuse_req_t request, fuse_ino_t node, const char* name, size_t size) {
    Of(request).Attribute(request, node, name, size);
  };
  table.listxattr = [](fuse_req_t request, fuse_ino_t node, size_t size) { Of(request).AttributeNames(request, node, size); };
  table.open = [](fuse_req_t request, fuse_ino_t node, fuse_file_info* file) { Of(request).Open(request, node, *file); };
  table.read = [](fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* file) {
    Of(request).Read(request, node, size, offset, *file);
  };
  auto release = [](fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
    Of(request).Release(*file);
    fuse_reply_err(request, 0);
  };
  table.release = release;
  table.releasedir = release;
  return table;
}

}  // namespace

const fuse_lowlevel_ops& FuseOperations() {
  static const fuse_lowlevel_ops table = MakeOperations();
  return table;
}

void FuseSession::Initialise(fuse_conn_info* connection) {
  // Without these the kernel would drop its pages of a file each time it looks at the attributes, or move pages by pipe.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                             FUSE_CAP_SPLICE_MOVE);
  // A page of a folder comes with the attributes of its files: most of those who list a folder want them next.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_READDIRPLUS_AUTO);
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
}

// Attributes as the caller is to see them.
struct stat FuseSession::Shown(fuse_req_t request, struct stat attributes) const {
  if (!configuration_.callerOwnsAll) return attributes;
  const fuse_ctx* caller = fuse_req_ctx(request);
  attributes.st_uid = caller->uid;
  attributes.st_gid = caller->gid;
  attributes.st_mode |= S_ISDIR(attributes.st_mode) ? S_IRUSR | S_IXUSR : S_IRUSR;
  return attributes;
}

// What differs from caller to caller must not be kept for the next one.
double FuseSession::AttributeSeconds(double seconds) const { return configuration_.callerOwnsAll ? 0 : seconds; }

void FuseSession::Ask(fuse_req_t request, FuseEvent event, const fuse_file_info& file) {
  const fuse_ctx* caller = fuse_req_ctx(request);
  event.uid = caller->uid;
  event.gid = caller->gid;
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      event.token = nextToken_++;
      pending_[event.token] = Pending{event.kind, request, event.node, file, event.length, event.name, nullptr};
      post_(std::move(event));
      return;
    }
  }
  fuse_reply_err(request, EIO);
}

std::optional<FuseSession::Pending> FuseSession::Take(uint64_t token) {
  std::lock_guard lock(mutex_);
  auto found = pending_.find(token);
  if (found == pending_.end()) return std::nullopt;
  Pending pending = std::move(found->second);
  pending_.erase(found);
  return pending;
}

void FuseSession::Lookup(fuse_req_t request, uint64_t parent, const char* name) {
  if (IsInTree(parent)) {
    return IfPermitted(request, parent, [=, this, name = std::string(name)] { TreeLookup(request, parent, name.c_str()); });
  }
  FuseEvent event{FuseEvent::Kind::lookup};
  event.node = parent;
  event.name = name;
  Ask(request, std::move(event), fuse_file_info{});
}

void FuseSession::AnswerNode(uint64_t token, const FuseNodeInfo* info) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (!pending) return;
  if (info == nullptr) {
    fuse_reply_err(pending->request, ENOENT);
    return;
  }
  if (info->tree != 0) TreeEntry(pending->request, *info);
  else ReplyKnown(pending->request, *info, nullptr);
}

// From now on the kernel knows the node; `attributes`: those that a tree gives to its root.
void FuseSession::ReplyKnown(fuse_req_t request, const FuseNodeInfo& info, const struct stat* attributes) {
  {
    std::lock_guard lock(mutex_);
    KnownNode& known = nodes_[info.node];
    known.info = info;
    known.lookups++;
  }
  fuse_entry_param entry{};
  entry.ino = info.node;
  entry.attr = Shown(request, attributes == nullptr ? AttributesOf(info) : *attributes);
  entry.attr_timeout = AttributeSeconds(SecondsOf(info));
  entry.entry_timeout = info.guarded ? 0 : SecondsOf(info);
  // Where the caller has gone the kernel never learnt of the node, and will not forget it either.
  if (fuse_reply_entry(request, &entry) != 0) Forget(info.node, 1);
}

void FuseSession::Forget(uint64_t node, uint64_t lookups) {
  if (node == FUSE_ROOT_ID || IsInTree(node)) return;
  std::lock_guard lock(mutex_);
  auto found = nodes_.find(node);
  if (found == nodes_.end()) return;
  if (found->second.lookups > lookups) {
    found->second.lookups -= lookups;
    return;
  }
  nodes_.erase(found);
  if (stopping_) return;
  FuseEvent event{FuseEvent::Kind::forget};
  event.node = node;
  post_(std::move(event));
}

void FuseSession::Attributes(fuse_req_t request, uint64_t node) {
  if (IsInTree(node)) return TreeAttributes(request, node);
  std::optional<FuseNodeInfo> info;
  {
    std::lock_guard lock(mutex_);
    auto found = nodes_.find(node);
    if (found != nodes_.end()) info = found->second.info;
  }
  if (!info) {
    fuse_reply_err(request, ESTALE);
    return;
  }
  if (info->tree != 0) return TreeAttributes(request, info->tree, node);
  struct stat attributes = Shown(request, AttributesOf(*info));
  fuse_reply_attr(request, &attributes, AttributeSeconds(SecondsOf(*info)));
}

// The tree that a folder is known to be the root of, or 0.
uint64_t FuseSession::TreeOf(uint64_t node) {
  std::lock_guard lock(mutex_);
  auto found = nodes_.find(node);
  return found == nodes_.end() ? 0 : found->second.info.tree;
}

void FuseSession::OpenFolder(fuse_req_t request, uint64_t node, const fuse_file_info& file) {
  if (IsInTree(node)) {
    return IfPermitted(request, node, [request, file] {
      // The kernel keeps the list: it never changes.
      fuse_file_info opened = file;
      opened.keep_cache = 1;
      opened.cache_readdir = 1;
      fuse_reply_open(request, &opened);
    });
  }
  FuseEvent event{FuseEvent::Kind::readFolder};
  event.node = node;
  Ask(request, std::move(event), file);
}

uint64_t FuseSession::AddHandle(Handle handle) {
  std::lock_guard lock(mutex_);
  uint64_t number = nextHandle_++;
  handles_[number] = std::move(handle);
  return number;
}

// The names are kept as they were at opening: offsets within them stay right while backups come and go.
void FuseSession::AnswerFolder(uint64_t token, std::vector<FuseName> names) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (!pending) return;
  std::vector<FuseName> all = {{".", pending->node, true, false}, {"..", FUSE_ROOT_ID, true, false}};
  all.insert(all.end(), std::make_move_iterator(names.begin()), std::make_move_iterator(names.end()));
  Handle handle;
  handle.names = std::move(all);
  pending->file.fh = AddHandle(std::move(handle));
  if (fuse_reply_open(pending->request, &pending->file) != 0) Release(pending->file);
}

void FuseSession::ReadFolder(fuse_req_t request, uint64_t node, size_t size, off_t offset, const fuse_file_info& file,
                             bool withNodes) {
  if (IsInTree(node)) return TreeList(request, node, size, static_cast<uint64_t>(offset), withNodes, 0);
  uint64_t tree = 0;
  {
    std::lock_guard lock(mutex_);
    tree = handles_[file.fh].tree;
  }
  if (tree != 0) return TreeList(request, tree, size, static_cast<uint64_t>(offset), withNodes, 0);
  std::vector<char> output(size);
  size_t used = 0;
  {
    std::lock_guard lock(mutex_);
    const std::vector<FuseName>& names = handles_[file.fh].names;
    for (size_t at = static_cast<size_t>(offset); at < names.size(); at++) {
      // No node: who wants to know more of a backup asks for it.
      fuse_entry_param entry{};
      entry.attr.st_ino = names[at].node;
      entry.attr.st_mode = TypeOf(names[at].folder, names[at].link);
      const char* name = names[at].name.c_str();
      const auto next = static_cast<off_t>(at + 1);
      char* to = output.data() + used;
      size_t needed = withNodes ? fuse_add_direntry_plus(request, to, size - used, name, &entry, next)
                                : fuse_add_direntry(request, to, size - used, name, &entry.attr, next);
      if (needed > size - used) break;
      used += needed;
    }
  }
  fuse_reply_buf(request, output.data(), used);
}

void FuseSession::ReadLink(fuse_req_t request, uint64_t node) {
  if (IsInTree(node)) return TreeText(request, node, ReaderOperation::kReadLink, "", 0);
  FuseEvent event{FuseEvent::Kind::readLink};
  event.node = node;
  Ask(request, std::move(event), fuse_file_info{});
}

void FuseSession::AnswerLink(uint64_t token, const std::string& target) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (pending) fuse_reply_readlink(pending->request, target.c_str());
}

void FuseSession::Attribute(fuse_req_t request, uint64_t node, const char* name, size_t size) {
  if (IsInTree(node)) return TreeText(request, node, ReaderOperation::kAttribute, name, size);
  // The kernel and its tools ask for many that are never ours. The root of a file system has ours beside those of the image.
  if (!std::string_view(name).starts_with(kAttributePrefix)) {
    const uint64_t tree = TreeOf(node);
    if (tree != 0) TreeText(request, tree, ReaderOperation::kAttribute, name, size);
    else fuse_reply_err(request, ENODATA);
    return;
  }
  FuseEvent event{FuseEvent::Kind::attribute};
  event.node = node;
  event.name = name;
  event.length = size;
  Ask(request, std::move(event), fuse_file_info{});
}

void FuseSession::AttributeNames(fuse_req_t request, uint64_t node, size_t size) {
  const uint64_t tree = IsInTree(node) ? node : TreeOf(node);
  if (tree != 0) return TreeText(request, tree, ReaderOperation::kAttributeNames, "", size);
  FuseEvent event{FuseEvent::Kind::attributes};
  event.node = node;
  event.length = size;
  Ask(request, std::move(event), fuse_file_info{});
}

void FuseSession::AnswerAttribute(uint64_t token, const std::string* value) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (!pending) return;
  if (value == nullptr) {
    fuse_reply_err(pending->request, ENODATA);
  } else if (pending->size == 0) {
    fuse_reply_xattr(pending->request, value->size());
  } else if (value->size() > pending->size) {
    fuse_reply_err(pending->request, ERANGE);
  } else {
    fuse_reply_buf(pending->request, value->data(), value->size());
  }
}

void FuseSession::Open(fuse_req_t request, uint64_t node, const fuse_file_info& file) {
  if ((file.flags & O_ACCMODE) != O_RDONLY) {
    fuse_reply_err(request, EROFS);
    return;
  }
  if (IsInTree(node)) return IfPermitted(request, node, [=, this] { TreeOpen(request, node, file); });
  FuseEvent event{FuseEvent::Kind::open};
  event.node = node;
  Ask(request, std::move(event), file);
}

void FuseSession::AnswerOpen(uint64_t token, int error) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (!pending) return;
  if (error != 0) {
    fuse_reply_err(pending->request, error);
    return;
  }
  pending->file.keep_cache = 1;
  pending->file.noflush = 1;
  Handle handle;
  {
    std::lock_guard lock(mutex_);
    auto found = nodes_.find(pending->node);
    if (found != nodes_.end()) {
      handle.file = std::make_shared<FuseFile>();
      handle.file->node = pending->node;
      handle.file->bytes = found->second.info.sizeBytes;
      handle.file->source = found->second.info.source;
    }
  }
  pending->file.fh = AddHandle(std::move(handle));
  if (fuse_reply_open(pending->request, &pending->file) != 0) Release(pending->file);
}

void FuseSession::AnswerError(uint64_t token, int error) {
  Answering alive(*this);
  std::optional<Pending> pending = Take(token);
  if (pending) fuse_reply_err(pending->request, error);
}

void FuseSession::Release(const fuse_file_info& file) {
  std::lock_guard lock(mutex_);
  handles_.erase(file.fh);
}

}  // namespace basalt
