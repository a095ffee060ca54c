// Reading: the slots of a step are reserved all together, missing ones are asked for, and the answer goes out straight from
// the cache.
//
//   Read -> Plan -> Reserve -> all ready: Finish                       (worker thread)
//                           -> some missing: wait for Fill -> Finish   (thread that fills)
//                           -> no slot is free: queued -> Pump, when one is given back
//                -> not known where the bytes are: AskPieces -> again  (thread of a reader)
#include <algorithm>
#include <cstring>

#include "fuse-answers.h"
#include "fuse-session.h"

namespace basalt {

namespace {

// Bytes of holes; never written to, so that it takes no memory.
uint8_t zeros[kFuseReadBytesMax];
// Reads that gather bytes at a time: each has memory of its own for them.
constexpr size_t kGatheringMax = 8;
constexpr uint32_t kPiecesAsked = 256;
constexpr size_t kAsksMax = 4;

}  // namespace

void FuseSession::Read(fuse_req_t request, uint64_t node, size_t size, off_t offset, const fuse_file_info& file) {
  Lock lock(mutex_);
  auto handle = handles_.find(file.fh);
  bool isKnown = handle != handles_.end() && handle->second.file != nullptr && (IsInTree(node) || nodes_.contains(node));
  if (stopping_ || !isKnown || size > readBytesMax_) {
    lock.unlock();
    fuse_reply_err(request, EIO);
    return;
  }
  statistics_.reads++;
  const std::shared_ptr<FuseFile>& bytes = handle->second.file;
  uint64_t start = static_cast<uint64_t>(offset);
  if (size == 0 || start >= bytes->bytes) {
    statistics_.hits++;
    lock.unlock();
    fuse_reply_buf(request, nullptr, 0);
    return;
  }
  auto* read = new FuseRead;
  read->request = request;
  read->handle = file.fh;
  read->file = bytes;
  read->offset = start;
  read->length = static_cast<size_t>(std::min<uint64_t>(size, bytes->bytes - start));
  Advance(lock, read);
  AskLater(lock);
}

// Takes step after step until something has to be waited for.
void FuseSession::Advance(Lock& lock, FuseRead* read) {
  for (;;) {
    if (stopping_) return End(lock, read, EIO);
    Located::What stoppedBy = Plan(*read);
    const uint64_t position = read->offset + read->done + read->planned;
    if (stoppedBy == Located::What::unknown && (read->planned == 0 || read->asks < kAsksMax)) {
      if (read->askedAt == position) return End(lock, read, EIO);
      read->askedAt = position;
      return AskPieces(read);
    }
    if (read->planned == 0) return End(lock, read, EIO);
    if (read->planned < read->length && !read->gathers) {
      if (gathering_ >= kGatheringMax) {
        ungathered_.push_back(read);
        return;
      }
      gathering_++;
      read->gathers = true;
      read->gathered.reserve(read->length);
    }
    if (!Reserve(*read)) {
      read->waited = true;
      queued_.push_back(read);
      return;
    }
    ReadAhead(*read);
    if (read->missing > 0) {
      read->waited = true;
      waiting_.insert(read);
      return;
    }
    if (Finish(lock, *read)) return End(lock, read, 0);
  }
}

// The read is over. `error` 0: it was answered, or ends with an error of its own.
void FuseSession::End(Lock& lock, FuseRead* read, int error) {
  std::unique_ptr<FuseRead> owned(read);
  if (read->waited) statistics_.misses++;
  else statistics_.hits++;
  FuseRead* next = nullptr;
  if (read->gathers) {
    gathering_--;
    if (!ungathered_.empty()) {
      next = ungathered_.front();
      ungathered_.pop_front();
    }
  }
  if (error != 0) {
    lock.unlock();
    fuse_reply_err(read->request, error);
    lock.lock();
  }
  if (next != nullptr) Advance(lock, next);
}

// What the next step is made of: as many pieces as there is room for, in as many slots. Gives what it was stopped by.
Located::What FuseSession::Plan(FuseRead& read) {
  read.pieceCount = 0;
  read.slotCount = 0;
  read.planned = 0;
  const size_t spanMax = std::min(kFuseSpanMax, readBytesMax_ / cache_.slotBytes() + 1);
  while (read.done + read.planned < read.length && read.pieceCount < kFusePiecesMax) {
    const Located found = read.file->Locate(read.offset + read.done + read.planned);
    if (found.what != Located::What::bytes && found.what != Located::What::zeros) return found.what;
    FuseRead::Piece piece;
    piece.length = static_cast<size_t>(std::min<uint64_t>(found.length, read.length - read.done - read.planned));
    if (found.what == Located::What::bytes) {
      const SlotKey key{found.node, found.offset / cache_.slotBytes()};
      piece.within = static_cast<size_t>(found.offset % cache_.slotBytes());
      piece.length = std::min(piece.length, cache_.slotBytes() - piece.within);
      piece.slot = 0;
      while (piece.slot < read.slotCount && !(read.keys[piece.slot] == key)) piece.slot++;
      if (piece.slot == read.slotCount) {
        if (read.slotCount == spanMax) break;
        read.keys[read.slotCount] = key;
        read.fileBytes[read.slotCount++] = found.fileBytes;
      }
    }
    read.pieces[read.pieceCount++] = piece;
    read.planned += piece.length;
  }
  return Located::What::bytes;
}

// Pins every slot of the step, claiming those that are not there; nothing is held where that is not possible now.
bool FuseSession::Reserve(FuseRead& read) {
  read.missing = 0;
  // What is there is pinned first, so that claiming the rest can't push it out.
  for (size_t at = 0; at < read.slotCount; at++) {
    read.slots[at] = cache_.Find(read.keys[at]);
    if (read.slots[at] == SlotCache::kNone) continue;
    if (TouchesBad(read, at)) {
      // It is asked for again: what could not be read then may be there now.
      cache_.Forget(read.slots[at]);
      read.slots[at] = SlotCache::kNone;
      continue;
    }
    cache_.Pin(read.slots[at]);
  }
  std::vector<uint32_t> claimed;
  for (size_t at = 0; at < read.slotCount; at++) {
    if (read.slots[at] != SlotCache::kNone) continue;
    read.slots[at] = cache_.Claim(read.keys[at]);
    if (read.slots[at] == SlotCache::kNone) {
      ReserveUndo(read, claimed);
      return false;
    }
    cache_.Pin(read.slots[at]);
    claimed.push_back(read.slots[at]);
  }
  for (size_t at = 0; at < read.slotCount; at++) {
    Slot& slot = cache_.At(read.slots[at]);
    if (slot.state == SlotState::filling) {
      slot.waiters.push_back(&read);
      read.missing++;
    }
  }
  for (size_t at = 0; at < read.slotCount; at++) {
    if (std::find(claimed.begin(), claimed.end(), read.slots[at]) != claimed.end()) AskFill(read.slots[at], read.fileBytes[at]);
  }
  return true;
}

// Whether the step wants bytes of its slot `at` that are not to be sent.
bool FuseSession::TouchesBad(const FuseRead& read, size_t at) {
  const Slot& slot = cache_.At(read.slots[at]);
  if (slot.state != SlotState::ready || slot.bad == 0) return false;
  for (size_t number = 0; number < read.pieceCount; number++) {
    const FuseRead::Piece& piece = read.pieces[number];
    if (piece.slot == at && (slot.bad & cache_.PartsOf(piece.within, piece.length)) != 0) return true;
  }
  return false;
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
  if (!IsInTree(event.node)) return post_(std::move(event));
  ReaderRequest request{ReaderOperation::kRead, 0, event.offset, static_cast<uint32_t>(event.length), {}};
  later_.push_back([this, event, request] {
    AskTree(event.node, request, [this, event](const OpenTree*, int error, const uint8_t* body, size_t length) {
      if (error == 0 && length != event.length) error = EIO;
      // The slot is being filled, so that nobody else touches its memory; after the end of the session nobody may.
      if (error == 0) {
        memcpy(cache_.Memory(event.slot), body, length);
        // A reader may say later that the file is longer: behind these bytes there must be nothing of what the slot held before.
        memset(cache_.Memory(event.slot) + length, 0, cache_.slotBytes() - length);
      }
      Fill(event.token, error);
    });
  });
}

// Once a reader moves through the file in order, the following slots are asked for before it needs them. The kernel's own
// read-ahead comes in by several threads, so "in order" allows for neighbours that overtake each other.
void FuseSession::ReadAhead(const FuseRead& read) {
  auto found = handles_.find(read.handle);
  if (found == handles_.end()) return;
  Handle& handle = found->second;
  const uint64_t each = cache_.slotBytes();
  const uint64_t end = read.offset + read.length;
  const uint64_t first = read.offset / each;
  const uint64_t last = (end - 1) / each;
  const uint64_t near = 2 * kFuseReadBytesMax / each + 1;
  bool inOrder = first <= handle.lastIndex + near && handle.lastIndex <= first + near;
  if (!inOrder) {
    handle.run = 0;
    handle.lastIndex = last;
  } else if (last > handle.lastIndex) {
    handle.run++;
    handle.lastIndex = last;
  }
  if (handle.run < 1 || last < handle.lastIndex || !queued_.empty()) return;
  SlotKey before = read.slotCount == 0 ? SlotKey{} : read.keys[read.slotCount - 1];
  uint64_t position = end;
  for (size_t ahead = 0; ahead < aheadSlots_ && position < read.file->bytes;) {
    const Located next = read.file->Locate(position);
    if (next.what != Located::What::bytes) return;
    const SlotKey key{next.node, next.offset / each};
    position += std::min(next.length, each - next.offset % each);
    if (key == before) continue;
    before = key;
    ahead++;
    if (cache_.Has(key)) continue;
    uint32_t slot = cache_.Claim(key);
    if (slot == SlotCache::kNone) return;
    AskFill(slot, next.fileBytes);
  }
}

void FuseSession::Fill(uint64_t token, int error, const std::vector<FuseRange>& bad) {
  Answering alive(*this);
  Lock lock(mutex_);
  auto found = fills_.find(token);
  if (found == fills_.end()) return;
  uint32_t number = found->second;
  fills_.erase(found);
  Slot& slot = cache_.At(number);
  slot.state = error == 0 ? SlotState::ready : SlotState::empty;
  if (error != 0) cache_.Forget(number);
  for (const FuseRange& range : bad) slot.bad |= cache_.PartsOf(range.offset, range.length);
  std::vector<FuseRead*> waiters = std::move(slot.waiters);
  slot.waiters.clear();
  std::vector<FuseRead*> ready;
  for (FuseRead* read : waiters) {
    if (error != 0) read->error = error;
    if (--read->missing > 0) continue;
    waiting_.erase(read);
    ready.push_back(read);
  }
  for (FuseRead* read : ready) {
    if (Finish(lock, *read)) End(lock, read, 0);
    else Advance(lock, read);
  }
  Pump(lock);
  AskLater(lock);
}

// Answers, or keeps the bytes of the step, without the lock: the slots are pinned and ready, so nobody writes to them.
bool FuseSession::Finish(Lock& lock, FuseRead& read) {
  for (size_t at = 0; at < read.slotCount && read.error == 0; at++) {
    if (TouchesBad(read, at)) read.error = EIO;
  }
  lock.unlock();
  bool isLast = read.error != 0 || read.done + read.planned == read.length;
  if (read.error != 0) {
    fuse_reply_err(read.request, read.error);
  } else {
    std::array<iovec, kFusePiecesMax> parts;
    for (size_t at = 0; at < read.pieceCount; at++) {
      const FuseRead::Piece& piece = read.pieces[at];
      uint8_t* from = piece.slot == FuseRead::kZeros ? zeros : cache_.Memory(read.slots[piece.slot]) + piece.within;
      parts[at] = iovec{from, piece.length};
      if (read.gathers) read.gathered.insert(read.gathered.end(), from, from + piece.length);
    }
    if (isLast && read.gathers) {
      fuse_reply_buf(read.request, reinterpret_cast<const char*>(read.gathered.data()), read.gathered.size());
    } else if (isLast) {
      fuse_reply_iov(read.request, parts.data(), static_cast<int>(read.pieceCount));
    }
  }
  lock.lock();
  for (size_t at = 0; at < read.slotCount; at++) cache_.Unpin(read.slots[at]);
  read.done += read.planned;
  return isLast;
}

// Serves what waits for slots, in the order of arrival, as far as there are slots.
void FuseSession::Pump(Lock& lock) {
  for (size_t tries = queued_.size(); tries > 0 && !queued_.empty() && !stopping_; tries--) {
    FuseRead* read = queued_.front();
    queued_.pop_front();
    if (!Reserve(*read)) {
      queued_.push_front(read);
      return;
    }
    if (read->missing > 0) waiting_.insert(read);
    else if (Finish(lock, *read)) End(lock, read, 0);
    else Advance(lock, read);
  }
}

void FuseSession::AskPieces(FuseRead* read) {
  read->asks++;
  read->waited = true;
  ReaderRequest request{ReaderOperation::kLocate, 0, read->askedAt, kPiecesAsked, {}};
  later_.push_back([this, read, request] {
    AskTree(read->file->node, request, [this, read](const OpenTree* tree, int error, const uint8_t* body, size_t length) {
      AddPieces(read, tree, error, body, length);
    });
  });
}

void FuseSession::AddPieces(FuseRead* read, const OpenTree* tree, int error, const uint8_t* body, size_t length) {
  Answering alive(*this);
  Lock lock(mutex_);
  if (error != 0) {
    End(lock, read, error);
  } else {
    AnswerCursor answer(body, length);
    TakeAttributes(answer, TreeNodes{tree->node, tree->root, kTreeNodeMask});
    TakePieces(answer, *read->file);
    Advance(lock, read);
  }
  AskLater(lock);
}

void FuseSession::AskLater(Lock& lock) {
  while (!later_.empty()) {
    std::function<void()> ask = std::move(later_.front());
    later_.pop_front();
    lock.unlock();
    ask();
    lock.lock();
  }
}

void FuseSession::DropNode(uint64_t node) {
  if (IsInTree(node)) DropTree(node);
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
