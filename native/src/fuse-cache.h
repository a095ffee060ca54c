// A cache of fixed slots in lent memory, keyed (node, index of the slot within the file), with clock eviction.
//
// Promises: a pinned or filling slot is never given to another key; memory does not grow with what is read.
// Knows nothing of FUSE or JavaScript, and holds no lock: the caller has one.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace basalt {

struct FuseRead;

struct SlotKey {
  uint64_t node = 0;
  uint64_t index = 0;
  bool operator==(const SlotKey&) const = default;
};

struct SlotKeyHash {
  size_t operator()(const SlotKey& key) const {
    uint64_t mixed = (key.node * 0x9e3779b97f4a7c15ull) ^ (key.index * 0xc2b2ae3d27d4eb4full);
    return static_cast<size_t>(mixed ^ (mixed >> 32));
  }
};

enum class SlotState : uint8_t { empty, filling, ready };

struct Slot {
  SlotKey key;
  SlotState state = SlotState::empty;
  bool referenced = false;
  bool mapped = false;  // found under its key; a dropped slot that is still pinned is not
  uint32_t pins = 0;
  uint64_t bad = 0;  // parts whose bytes are not to be sent: a bit for each 64th of the slot
  std::vector<FuseRead*> waiters;
};

class SlotCache {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  SlotCache(uint8_t* memory, size_t slotBytes, size_t count) : memory_(memory), slotBytes_(slotBytes), slots_(count) {
    index_.reserve(count);
  }

  size_t slotBytes() const { return slotBytes_; }
  size_t count() const { return slots_.size(); }
  size_t used() const { return index_.size(); }
  uint8_t* Memory(uint32_t slot) const { return memory_ + size_t{slot} * slotBytes_; }
  Slot& At(uint32_t slot) { return slots_[slot]; }

  uint32_t Find(SlotKey key) {
    auto found = index_.find(key);
    if (found == index_.end()) return kNone;
    slots_[found->second].referenced = true;
    return found->second;
  }

  bool Has(SlotKey key) const { return index_.contains(key); }

  // A slot for `key`, in state filling; kNone where every slot is pinned or filling.
  uint32_t Claim(SlotKey key) {
    uint32_t victim = Victim();
    if (victim == kNone) return kNone;
    Forget(victim);
    Slot& slot = slots_[victim];
    slot.key = key;
    slot.state = SlotState::filling;
    slot.referenced = true;
    slot.mapped = true;
    slot.bad = 0;
    index_[key] = victim;
    return victim;
  }

  // The parts of a slot that a range of it touches, as `Slot::bad` counts them.
  uint64_t PartsOf(size_t within, size_t length) const {
    if (length == 0 || within >= slotBytes_) return 0;
    const size_t each = (slotBytes_ + kParts - 1) / kParts;
    const size_t first = within / each;
    const size_t last = (std::min(within + length, slotBytes_) - 1) / each;
    const size_t count = last - first + 1;
    return (count == kParts ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << first;
  }

  void Pin(uint32_t slot) { slots_[slot].pins++; }
  void Unpin(uint32_t slot) { slots_[slot].pins--; }

  // The key is not found any more. Who has pinned the slot keeps its bytes.
  void Forget(uint32_t number) {
    Slot& slot = slots_[number];
    if (slot.mapped) index_.erase(slot.key);
    slot.mapped = false;
  }

  void ForgetNode(uint64_t node) {
    for (uint32_t number = 0; number < slots_.size(); number++) {
      if (slots_[number].mapped && slots_[number].key.node == node) Forget(number);
    }
  }

  void ForgetTree(uint64_t root, uint64_t mask) {
    for (uint32_t number = 0; number < slots_.size(); number++) {
      if (slots_[number].mapped && (slots_[number].key.node & mask) == root) Forget(number);
    }
  }

 private:
  static constexpr size_t kParts = 64;

  uint32_t Victim() {
    for (size_t step = 0; step < 2 * slots_.size(); step++) {
      uint32_t number = hand_;
      hand_ = (hand_ + 1) % static_cast<uint32_t>(slots_.size());
      Slot& slot = slots_[number];
      if (slot.pins > 0 || slot.state == SlotState::filling) continue;
      if (slot.mapped && slot.referenced) {
        slot.referenced = false;
        continue;
      }
      return number;
    }
    return kNone;
  }

  uint8_t* memory_;
  size_t slotBytes_;
  std::vector<Slot> slots_;
  std::unordered_map<SlotKey, uint32_t, SlotKeyHash> index_;
  uint32_t hand_ = 0;
};

}  // namespace basalt
