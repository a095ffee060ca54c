// The part that FAT and exFAT share: a table that chains clusters, and bytes that lie along a chain.
//
// Promises: memory is bounded; a chain that leaves the volume, runs in a circle or ends too early is a Failure; a place far
// into a long chain is found without following it again from its beginning. Any thread may ask. Knows no names.
#pragma once
#include <list>
#include <memory>
#include <mutex>

#include "block-cache.h"
#include "file-system.h"

namespace reader {

struct FatLayout {
  uint64_t tableAt = 0;
  unsigned entryBits = 0;  // 12, 16, 28 (FAT32) or 32 (exFAT)
  uint64_t clustersAt = 0;
  uint32_t clusterBytes = 0;
  uint32_t clusters = 0;  // numbered from 2 on
};

// Bytes of a file or folder. `fixedAt` is the place of a root folder that is no chain.
struct FatStream {
  uint32_t first = 0;
  bool contiguous = false;
  uint64_t fixedAt = 0;
  uint64_t bytes = 0;  // where `openEnd`, at most as many
  bool openEnd = false;  // the end of the chain is the end of the stream
};

class FatClusters {
 public:
  FatClusters(const Image& image, const FatLayout& layout);
  ~FatClusters();

  const FatLayout& layout() const { return layout_; }
  bool Holds(uint32_t cluster) const { return cluster >= 2 && cluster - 2 < layout_.clusters; }
  uint64_t PlaceOf(uint32_t cluster) const;
  // The cluster that a place within the clusters belongs to.
  uint32_t ClusterAt(uint64_t place) const;
  // 0: the chain ends.
  uint32_t Next(uint32_t cluster) const;
  // Metadata around a place of the image, from the cache: 32 bytes that don't cross a multiple of 32.
  Block Around(uint64_t place) const { return cache_->Get(place / kBlockBytes); }
  static Bytes RecordIn(const Block& block, uint64_t place) { return In(block).Sub(place % kBlockBytes, 32); }

  // How many bytes the chain holds.
  uint64_t BytesOf(const FatStream& stream) const;
  // Fills `out`; the range lies within the stream.
  void Read(const FatStream& stream, uint64_t offset, uint8_t* out, size_t length) const;
  // The piece of the image that `offset`, which is within the stream, lies in.
  Piece Locate(const FatStream& stream, uint64_t offset) const;
  // Hands over records of 32 bytes from `offset` on: where each is in the stream and in the image. Ends when `take` says no.
  void Records(const FatStream& stream, uint64_t offset,
               const std::function<bool(uint64_t offset, uint64_t place, const Bytes& record)>& take) const;

  static constexpr size_t kBlockBytes = 4096;

 private:
  struct Chain;
  std::shared_ptr<Chain> ChainOf(uint32_t first) const;
  // The cluster number `index` of a stream; 0 behind the end of its chain.
  uint32_t At(const FatStream& stream, uint64_t index) const;

  const Image image_;
  const FatLayout layout_;
  std::unique_ptr<BlockCache> cache_;
  mutable std::mutex mutex_;
  mutable std::list<std::shared_ptr<Chain>> chains_;
};

}  // namespace reader
