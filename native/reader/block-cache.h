// Blocks of metadata that were read last. Bounded; any thread may ask.
//
// Promises: never holds more than `blocksMax` blocks besides those that callers still hold; a block that failed is not kept.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "bytes.h"

namespace reader {

using Block = std::shared_ptr<const std::vector<uint8_t>>;

inline Bytes In(const Block& block) { return {block->data(), block->size()}; }

class BlockCache {
 public:
  using Load = std::function<void(uint64_t block, std::vector<uint8_t>& out)>;

  BlockCache(size_t blockBytes, size_t blocksMax, Load load)
      : blockBytes_(blockBytes), blocksMax_(blocksMax), load_(std::move(load)) {}

  Block Get(uint64_t number) {
    {
      std::lock_guard lock(mutex_);
      auto found = places_.find(number);
      if (found != places_.end()) {
        order_.splice(order_.begin(), order_, found->second);
        return found->second->second;
      }
    }
    auto bytes = std::make_shared<std::vector<uint8_t>>(blockBytes_);
    load_(number, *bytes);
    Block block = std::move(bytes);
    std::lock_guard lock(mutex_);
    // Two threads may have read it at a time: the first one stays.
    if (auto found = places_.find(number); found != places_.end()) return found->second->second;
    order_.emplace_front(number, block);
    places_[number] = order_.begin();
    if (order_.size() > blocksMax_) {
      places_.erase(order_.back().first);
      order_.pop_back();
    }
    return block;
  }

 private:
  const size_t blockBytes_;
  const size_t blocksMax_;
  const Load load_;
  std::mutex mutex_;
  std::list<std::pair<uint64_t, Block>> order_;
  std::unordered_map<uint64_t, std::list<std::pair<uint64_t, Block>>::iterator> places_;
};

}  // namespace reader
