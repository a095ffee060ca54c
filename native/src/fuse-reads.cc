// Reading: slots are reserved all together, missing ones are asked for, and the answer goes out straight from the cache.
//
//   Read -> Reserve -> all ready: Reply                     (worker thread)
//                   -> some missing: wait for Fill -> Reply (thread that fills)
//                   -> no slot is free: queued -> Pump, when one is given back
#include <algorithm>

#include "fuse-session.h"

namespace basalt {

void FuseSession::Read(fuse_req_t request, uint64_t node, size_t size, off_t offset, const fuse_file_info& file) {
  Lock lock(mutex_);
  auto known = nodes_.find(node);
  if (stopping_ || known == nodes_.end() || size > readBytesMax_) {
    lock.unlock();
    fuse_reply_err(request, EIO);
    return;
  }
  statistics_.reads++;
  const FuseNodeInfo& info = known->second.info;
  uint64_t sizeBytes = info.sizeBytes;
  uint64_t start = static_cast<uint64_t>(offset);
  if (size == 0 || start >= sizeBytes) {
    statistics_.hits++;
    lock.unlock();
    fuse_reply_buf(request, nullptr, 0);
    return;
  }
  auto read = std::make_unique<FuseRead>();
  read->request = request;
  bool isWindow = info.sourceNode != 0;
  read->node = isWindow ? info.sourceNode : node;
  read->offset = info.sourceOffset + start;
  read->fileBytes = isWindow ? info.sourceBytes : sizeBytes;
  read->length = static_cast<size_t>(std::min<uint64_t>(size, sizeBytes - start));

  bool reserved = Reserve(*read);
  if (reserved) ReadAhead(*read, info.sourceOffset + sizeBytes, handles_[file.fh]);
  if (reserved && read->missing == 0) {
    statistics_.hits++;
    Finish(lock, *read);
    Pump(lock);
    return;
  }
  statistics_.misses++;
  if (reserved) {
    waiting_.insert(read.release());
  } else {
    queued_.push_back(read.release());
  }
}

// Pins every slot of the read, claiming those that are not there; nothing is held where that is not possible now.
bool FuseSession::Reserve(FuseRead& read) {
  uint64_t first = read.offset / cache_.slotBytes();
  uint64_t last = (read.offset + read.length - 1) / cache_.slotBytes();
  read.slotCount = static_cast<size_t>(last - first + 1);
  read.missing = 0;
  // What is there is pinned first, so that claiming the rest can't push it out.
  for (size_t at = 0; at < read.slotCount; at++) {
    read.slots[at] = cache_.Find(SlotKey{read.node, first + at});
    if (read.slots[at] != SlotCache::kNone) cache_.Pin(read.slots[at]);
  }
  std::vector<uint32_t> claimed;
  for (size_t at = 0; at < read.slotCount; at++) {
    if (read.slots[at] != SlotCache::kNone) continue;
    read.slots[at] = cache_.Claim(SlotKey{read.node, first + at});
    if (read.slots[at] == SlotCache::kNone) {
      ReserveUndo(read, claimed);
      return false;
    }
    cache_.Pin(read.slots[at]);
    claimed.push_back(read.slots[at]);
  }
  for (size_t at = 0; at < read.slotCount; at++) {
    Slot& slot = cache_.At(read.slots[at]);
    if (slot.state != SlotState::filling) continue;
    slot.waiters.push_back(&read);
    read.missing++;
  }
  for (uint32_t slot : claimed) AskFill(slot, read.fileBytes);
  return true;
}

void FuseSession::ReserveUndo(FuseRead& read, const std::vector<uint32_t>& claimed) {
  for (size_t at = 0; at < read.slotCount; at++) {
    if (read.slots[at] != SlotCache::kNone) cache_.Unpin(read.slots[at]);
  }
  for (uint32_t slot : claimed) {
    cache_.Forget(slot);
    cache_.At(slot).state = SlotState::empty;
  }
}

void FuseSession::AskFill(uint32_t number, uint64_t fileBytes) {
  const Slot& slot = cache_.At(number);
  FuseEvent event{FuseEvent::Kind::miss};
  event.token = nextToken_++;
  event.node = slot.key.node;
  event.offset = slot.key.index * cache_.slotBytes();
  event.length = static_cast<size_t>(std::min<uint64_t>(cache_.slotBytes(), fileBytes - event.offset));
  event.slot = number;
  fills_[event.token] = number;
  post_(std::move(event));
}

// Once a reader moves through the file in order, the following slots are asked for before it needs them. The kernel's own
// read-ahead comes in by several threads, so "in order" allows for neighbours that overtake each other.
void FuseSession::ReadAhead(const FuseRead& read, uint64_t endBytes, Handle& handle) {
  const uint64_t first = read.offset / cache_.slotBytes();
  const uint64_t last = (read.offset + read.length - 1) / cache_.slotBytes();
  const uint64_t near = 2 * kFuseReadBytesMax / cache_.slotBytes() + 1;
  bool inOrder = first <= handle.lastIndex + near && handle.lastIndex <= first + near;
  if (!inOrder) {
    handle.run = 0;
    handle.lastIndex = last;
  } else if (last > handle.lastIndex) {
    handle.run++;
    handle.lastIndex = last;
  }
  if (handle.run < 1 || last < handle.lastIndex || !queued_.empty()) return;
  for (uint64_t index = last + 1; index <= last + aheadSlots_ && index * cache_.slotBytes() < endBytes; index++) {
    SlotKey key{read.node, index};
    if (cache_.Has(key)) continue;
    uint32_t slot = cache_.Claim(key);
    if (slot == SlotCache::kNone) return;
    AskFill(slot, read.fileBytes);
  }
}

void FuseSession::Fill(uint64_t token, int error) {
  std::shared_lock alive(lifetime_);
  Lock lock(mutex_);
  auto found = fills_.find(token);
  if (found == fills_.end()) return;
  uint32_t number = found->second;
  fills_.erase(found);
  Slot& slot = cache_.At(number);
  slot.state = error == 0 ? SlotState::ready : SlotState::empty;
  if (error != 0) cache_.Forget(number);
  std::vector<FuseRead*> waiters = std::move(slot.waiters);
  slot.waiters.clear();
  std::vector<std::unique_ptr<FuseRead>> done;
  for (FuseRead* read : waiters) {
    if (error != 0) read->error = error;
    if (--read->missing > 0) continue;
    waiting_.erase(read);
    done.emplace_back(read);
  }
  for (auto& read : done) Finish(lock, *read);
  Pump(lock);
}

void FuseSession::Finish(Lock& lock, FuseRead& read) {
  lock.unlock();
  Reply(read);
  lock.lock();
  for (size_t at = 0; at < read.slotCount; at++) cache_.Unpin(read.slots[at]);
}

// Without the lock: the slots are pinned and ready, so nobody writes to them.
void FuseSession::Reply(const FuseRead& read) {
  if (read.error != 0) {
    fuse_reply_err(read.request, read.error);
    return;
  }
  std::array<iovec, kFuseSpanMax> parts;
  uint64_t position = read.offset;
  uint64_t end = read.offset + read.length;
  for (size_t at = 0; at < read.slotCount; at++) {
    size_t within = static_cast<size_t>(position % cache_.slotBytes());
    size_t length = static_cast<size_t>(std::min<uint64_t>(cache_.slotBytes() - within, end - position));
    parts[at] = iovec{cache_.Memory(read.slots[at]) + within, length};
    position += length;
  }
  fuse_reply_iov(read.request, parts.data(), static_cast<int>(read.slotCount));
}

// Serves what waits for slots, in the order of arrival, as far as there are slots.
void FuseSession::Pump(Lock& lock) {
  while (!queued_.empty() && !stopping_) {
    FuseRead* read = queued_.front();
    if (!Reserve(*read)) return;
    queued_.pop_front();
    if (read->missing > 0) {
      waiting_.insert(read);
      continue;
    }
    std::unique_ptr<FuseRead> owned(read);
    Finish(lock, *owned);
  }
}

void FuseSession::DropNode(uint64_t node) {
  std::lock_guard lock(mutex_);
  cache_.ForgetNode(node);
}

FuseStatistics FuseSession::Statistics() {
  std::lock_guard lock(mutex_);
  FuseStatistics statistics = statistics_;
  statistics.usedSlots = cache_.used();
  return statistics;
}

}  // namespace basalt
