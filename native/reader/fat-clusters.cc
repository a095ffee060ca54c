// Chains of clusters: see fat-clusters.h.
#include "fat-clusters.h"

#include <algorithm>

namespace reader {

namespace {

constexpr size_t kBlocksMax = 1024;
constexpr size_t kChainsMax = 64;
constexpr size_t kMarksMax = 1024;
// Clusters of one piece: a walk along a chain is of bounded length.
constexpr uint64_t kNeighboursMax = 1024;

}  // namespace

// What is known of a chain: the clusters at multiples of `stride`, and the furthest that was reached.
struct FatClusters::Chain {
  explicit Chain(uint32_t first) : first(first), marks{first}, furthest(first), earlier(0) {}

  const uint32_t first;
  std::mutex mutex;
  uint64_t stride = 1;
  std::vector<uint32_t> marks;
  uint32_t furthest;
  uint64_t furthestIndex = 0;
  bool ended = false;
  // Where the chain was at the last power of two: to meet it again means a circle.
  uint32_t earlier;
  uint64_t nextPower = 1;

  void Advance(uint32_t next) {
    if (furthestIndex == nextPower) {
      earlier = furthest;
      nextPower *= 2;
    }
    if (next == earlier || next == first) Damaged("a chain of clusters runs in a circle");
    furthest = next;
    ++furthestIndex;
    if (furthestIndex % stride != 0) return;
    marks.push_back(next);
    if (marks.size() < kMarksMax) return;
    for (size_t at = 0; at < kMarksMax / 2; ++at) marks[at] = marks[at * 2];
    marks.resize(kMarksMax / 2);
    stride *= 2;
  }
};

FatClusters::FatClusters(const Image& image, const FatLayout& layout) : image_(image), layout_(layout) {
  cache_ = std::make_unique<BlockCache>(kBlockBytes, kBlocksMax, [this](uint64_t block, std::vector<uint8_t>& out) {
    image_.ReadPadded(block * kBlockBytes, out.data(), out.size());
  });
}

FatClusters::~FatClusters() = default;

uint64_t FatClusters::PlaceOf(uint32_t cluster) const {
  if (!Holds(cluster)) Damaged("a chain of clusters leaves the volume");
  return layout_.clustersAt + uint64_t{cluster - 2} * layout_.clusterBytes;
}

uint32_t FatClusters::ClusterAt(uint64_t place) const {
  if (place < layout_.clustersAt) return 0;
  const uint64_t index = (place - layout_.clustersAt) / layout_.clusterBytes;
  return index < layout_.clusters ? static_cast<uint32_t>(index + 2) : 0;
}

uint32_t FatClusters::Next(uint32_t cluster) const {
  if (!Holds(cluster)) Damaged("a chain of clusters leaves the volume");
  uint32_t value = 0;
  uint32_t lastFrom = 0;
  if (layout_.entryBits == 12) {
    // An entry may lie in two blocks.
    const uint64_t at = layout_.tableAt + cluster + cluster / 2;
    const uint32_t low = In(Around(at)).U8(at % kBlockBytes);
    const uint32_t both = low | uint32_t{In(Around(at + 1)).U8((at + 1) % kBlockBytes)} << 8;
    value = cluster % 2 != 0 ? both >> 4 : both & 0xfff;
    lastFrom = 0xff8;
  } else if (layout_.entryBits == 16) {
    const uint64_t at = layout_.tableAt + uint64_t{cluster} * 2;
    value = In(Around(at)).Le16(at % kBlockBytes);
    lastFrom = 0xfff8;
  } else {
    const uint64_t at = layout_.tableAt + uint64_t{cluster} * 4;
    const uint32_t mask = layout_.entryBits == 28 ? 0x0fffffff : 0xffffffff;
    value = In(Around(at)).Le32(at % kBlockBytes) & mask;
    lastFrom = mask & ~7u;
  }
  if (value >= lastFrom) return 0;
  if (!Holds(value)) Damaged("a chain of clusters leaves the volume");
  return value;
}

std::shared_ptr<FatClusters::Chain> FatClusters::ChainOf(uint32_t first) const {
  std::lock_guard lock(mutex_);
  auto found = std::find_if(chains_.begin(), chains_.end(), [&](const auto& chain) { return chain->first == first; });
  if (found != chains_.end()) {
    chains_.splice(chains_.begin(), chains_, found);
  } else {
    chains_.push_front(std::make_shared<Chain>(first));
    if (chains_.size() > kChainsMax) chains_.pop_back();
  }
  return chains_.front();
}

uint32_t FatClusters::At(const FatStream& stream, uint64_t index) const {
  if (!Holds(stream.first) || index >= layout_.clusters) Damaged("a chain of clusters leaves the volume");
  if (stream.contiguous) {
    const uint64_t cluster = stream.first + index;
    if (cluster - 2 >= layout_.clusters) Damaged("a chain of clusters leaves the volume");
    return static_cast<uint32_t>(cluster);
  }
  if (index == 0) return stream.first;
  const std::shared_ptr<Chain> chain = ChainOf(stream.first);
  std::lock_guard lock(chain->mutex);
  while (index > chain->furthestIndex && !chain->ended) {
    const uint32_t next = Next(chain->furthest);
    if (next == 0) chain->ended = true;
    else chain->Advance(next);
  }
  if (index > chain->furthestIndex) return 0;
  if (index == chain->furthestIndex) return chain->furthest;
  uint32_t cluster = chain->marks[static_cast<size_t>(index / chain->stride)];
  for (uint64_t step = index % chain->stride; step > 0; --step) cluster = Next(cluster);
  return cluster;
}

uint64_t FatClusters::BytesOf(const FatStream& stream) const {
  if (!stream.openEnd) return stream.bytes;
  // The end is found by asking for more than there may be; the chain itself then knows where it was.
  const uint64_t most = stream.bytes / layout_.clusterBytes;
  uint64_t low = 0;
  for (uint64_t high = std::min<uint64_t>(most, layout_.clusters - 1) + 1; low + 1 < high;) {
    const uint64_t middle = (low + high) / 2;
    if (At(stream, middle) != 0) low = middle;
    else high = middle;
  }
  return (low + 1) * layout_.clusterBytes;
}

void FatClusters::Read(const FatStream& stream, uint64_t offset, uint8_t* out, size_t length) const {
  const uint64_t each = layout_.clusterBytes;
  while (length > 0) {
    uint64_t index = offset / each;
    const uint32_t cluster = At(stream, index);
    if (cluster == 0) Damaged("a file has fewer clusters than its size needs");
    // Neighbours are read at once.
    uint64_t count = each - offset % each;
    for (uint32_t last = cluster; count < length; count += each) {
      const uint32_t next = At(stream, ++index);
      if (next != last + 1) break;
      last = next;
    }
    const auto piece = static_cast<size_t>(std::min<uint64_t>(count, length));
    image_.Read(PlaceOf(cluster) + offset % each, out, piece);
    offset += piece;
    out += piece;
    length -= piece;
  }
}

Piece FatClusters::Locate(const FatStream& stream, uint64_t offset) const {
  const uint64_t each = layout_.clusterBytes;
  const uint64_t index = offset / each;
  const uint32_t first = At(stream, index);
  if (first == 0) Damaged("a file has fewer clusters than its size needs");
  // A chain that ends early is damaged, but not here.
  uint64_t count = 1;
  while (count < kNeighboursMax && (index + count) * each < stream.bytes && At(stream, index + count) == first + count) ++count;
  return {index * each, count * each, Where::kImage, PlaceOf(first)};
}

void FatClusters::Records(const FatStream& stream, uint64_t offset,
                          const std::function<bool(uint64_t, uint64_t, const Bytes&)>& take) const {
  const uint64_t each = layout_.clusterBytes;
  while (offset < stream.bytes) {
    uint64_t place = stream.fixedAt + offset;
    uint64_t end = stream.bytes;
    if (stream.fixedAt == 0) {
      const uint64_t index = offset / each;
      if (stream.openEnd && index >= layout_.clusters) return;
      const uint32_t cluster = At(stream, index);
      if (cluster == 0) {
        if (stream.openEnd) return;
        Damaged("a folder has fewer clusters than its size needs");
      }
      place = PlaceOf(cluster) + offset % each;
      end = std::min(end, (index + 1) * each);
    }
    if (place + (end - offset) > image_.size()) Damaged("a folder lies behind the end of the image");
    Block block;
    for (; offset < end; offset += 32, place += 32) {
      if (block == nullptr || place % kBlockBytes == 0) block = Around(place);
      if (!take(offset, place, RecordIn(block, place))) return;
    }
  }
  if (stream.openEnd) Damaged("a folder is larger than a folder can be");
}

}  // namespace reader
