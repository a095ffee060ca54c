// The readers of file systems inside images: when one is asked for, what waits for it, and its end.
//
//   AskTree -> open: asked at once
//           -> else: waits; the owner starts a reader -> AttachTree -> its first answer -> ServeTree -> asked
//  A reader that ends by itself fails what it was asked and nothing else: the next question starts another one.
#include <algorithm>

#include "fuse-session.h"

namespace basalt {

void FuseSession::AskTree(uint64_t node, ReaderRequest request, TreeCallback callback, int attempts) {
  const uint64_t root = node & ~kTreeNodeMask;
  std::shared_ptr<const OpenTree> open;
  int error = EIO;
  {
    std::lock_guard lock(treesMutex_);
    auto found = trees_.find(root);
    if (!treesEnded_) {
      Tree& tree = found == trees_.end() ? trees_[root] : found->second;
      open = tree.open;
      if (open == nullptr) {
        request.node = node & kTreeNodeMask;
        tree.waiting.push_back(TreeQuestion{std::move(request), std::move(callback), attempts});
        if (tree.asked) return;
        tree.asked = true;
        FuseEvent event{FuseEvent::Kind::tree};
        event.node = root;
        post_(std::move(event));
        return;
      }
    }
  }
  if (open != nullptr) {
    // Names of the root are its own: the reader calls it otherwise.
    const uint64_t local = node & kTreeNodeMask;
    request.node = local == 0 ? open->root : local;
    auto answer = [open, callback](int failure, const uint8_t* body, size_t length) { callback(open.get(), failure, body, length); };
    if (open->channel->Ask(request, std::move(answer))) return;
    CloseTree(root, open.get());
    if (attempts > 0) return AskTree(node, std::move(request), std::move(callback), attempts - 1);
    error = EIO;
  }
  callback(nullptr, error, nullptr, 0);
}

void FuseSession::AttachTree(uint64_t node, uint64_t serial, int socket) {
  auto told = [this, node, serial](int error, const uint8_t* body, size_t length) {
    FuseEvent event{FuseEvent::Kind::treeAnswer};
    event.node = node;
    event.token = serial;
    event.length = static_cast<size_t>(error);
    event.body.assign(body, body + length);
    std::lock_guard lock(treesMutex_);
    if (!treesEnded_) post_(std::move(event));
  };
  auto ended = [this, node, serial](ReaderChannel*) { EndTree(node, serial); };
  auto channel = std::make_shared<ReaderChannel>(socket, told, ended);
  {
    std::lock_guard lock(treesMutex_);
    if (treesEnded_) return;
    Tree& tree = trees_[node];
    if (tree.channel != nullptr) tree.channel->Retire();
    tree.open = nullptr;
    tree.served = false;
    tree.channel = channel;
    tree.serial = serial;
    channels_.push_back(channel);
  }
  auto run = [this, channel] {
    channel->Run();
    std::lock_guard lock(treesMutex_);
    std::erase(channels_, channel);
    channelsEnded_.notify_all();
  };
  if (StartThread(run) == 0) return;
  {
    std::lock_guard lock(treesMutex_);
    std::erase(channels_, channel);
    channelsEnded_.notify_all();
  }
  EndTree(node, serial);
  told(EAGAIN, nullptr, 0);
}

void FuseSession::ServeTree(uint64_t node, uint64_t serial, OpenTree opened) {
  Answering alive(*this);
  std::vector<TreeQuestion> questions;
  bool isServed = false;
  {
    std::lock_guard lock(treesMutex_);
    auto found = trees_.find(node);
    if (found == trees_.end() || found->second.serial != serial) return;
    Tree& tree = found->second;
    isServed = tree.channel != nullptr;
    if (isServed) {
      opened.channel = tree.channel;
      tree.open = std::make_shared<const OpenTree>(std::move(opened));
    }
    tree.served = isServed;
    tree.asked = false;
    questions.swap(tree.waiting);
  }
  // A reader that ended right behind its first answer: nobody else would tell those who wait.
  for (TreeQuestion& question : questions)
    if (!isServed) question.callback(nullptr, EIO, nullptr, 0);
    else AskTree(node | question.request.node, std::move(question.request), std::move(question.callback), question.attempts);
}

void FuseSession::FailTree(uint64_t node, int error) {
  Answering alive(*this);
  std::vector<TreeQuestion> questions;
  {
    std::lock_guard lock(treesMutex_);
    auto found = trees_.find(node);
    if (found == trees_.end()) return;
    if (found->second.channel != nullptr) found->second.channel->Retire();
    questions.swap(found->second.waiting);
    trees_.erase(found);
  }
  for (TreeQuestion& question : questions) question.callback(nullptr, error, nullptr, 0);
}

void FuseSession::DetachTree(uint64_t node) {
  std::lock_guard lock(treesMutex_);
  auto found = trees_.find(node);
  if (found == trees_.end() || found->second.channel == nullptr) return;
  found->second.channel->Retire();
  found->second.channel = nullptr;
  found->second.open = nullptr;
}

// The channel has ended by itself, or was let go.
void FuseSession::EndTree(uint64_t node, uint64_t serial) {
  std::lock_guard lock(treesMutex_);
  auto found = trees_.find(node);
  bool isMissed = false;
  if (found != trees_.end() && found->second.serial == serial) {
    Tree& tree = found->second;
    tree.channel = nullptr;
    tree.open = nullptr;
    isMissed = tree.served && !tree.waiting.empty();
    tree.served = false;
  }
  if (treesEnded_) return;
  FuseEvent event{FuseEvent::Kind::treeEnd};
  event.node = node;
  event.token = serial;
  post_(std::move(event));
  if (!isMissed) return;
  // Who asked while the channel was ending has asked for a reader that the owner took to be there: it is asked for again.
  FuseEvent again{FuseEvent::Kind::tree};
  again.node = node;
  post_(std::move(again));
}

void FuseSession::CloseTree(uint64_t node, const OpenTree* open) {
  std::lock_guard lock(treesMutex_);
  auto found = trees_.find(node);
  if (found != trees_.end() && found->second.open.get() == open) found->second.open = nullptr;
}

void FuseSession::DropTree(uint64_t node) {
  FailTree(node, ESTALE);
  std::lock_guard lock(mutex_);
  cache_.ForgetTree(node, ~kTreeNodeMask);
}

double FuseSession::TreeIdleMs(uint64_t node) {
  std::lock_guard lock(treesMutex_);
  auto found = trees_.find(node);
  if (found == trees_.end() || found->second.channel == nullptr) return 0;
  return found->second.channel->IdleMs();
}

// All questions are answered, and no thread of a reader runs any more.
void FuseSession::EndTrees() {
  std::vector<TreeQuestion> questions;
  {
    std::unique_lock lock(treesMutex_);
    treesEnded_ = true;
    for (auto& [node, tree] : trees_)
      questions.insert(questions.end(), std::make_move_iterator(tree.waiting.begin()), std::make_move_iterator(tree.waiting.end()));
    trees_.clear();
    for (auto& channel : channels_) channel->End();
    channelsEnded_.wait(lock, [this] { return channels_.empty(); });
  }
  for (TreeQuestion& question : questions) question.callback(nullptr, EIO, nullptr, 0);
}

}  // namespace basalt
