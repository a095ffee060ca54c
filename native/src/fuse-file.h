// Where the bytes of files are: slots of which node, zeros, or not known yet.
//
//   file of a tree -> pieces that its reader told of -> image of the tree -> layout -> file that the owner serves
//   window, volume of LVM                            -> layout             -> file that the owner serves
//  Promises: what a reader or an image says never leads out of the file that is read in the end. Holds no lock.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace basalt {

// A part of a window; with several places its bytes go round them, `stripeBytes` each time.
struct LayoutSegment {
  static constexpr uint64_t kMissing = UINT64_MAX;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t stripeBytes = 0;
  std::vector<uint64_t> places;  // in the source; kMissing: not there
};

// What a window is made of.
struct FuseSource {
  uint64_t node = 0;
  uint64_t bytes = 0;  // size of that file
  std::vector<LayoutSegment> segments;  // one behind the other, from 0 on
};

struct Located {
  enum class What : uint8_t { bytes, zeros, unknown, damaged };
  What what = What::damaged;
  uint64_t node = 0;    // whose slots hold the bytes, and where there
  uint64_t offset = 0;
  uint64_t fileBytes = 0;
  uint64_t length = 0;  // so many bytes in a row
};

inline Located LocateInSource(const FuseSource& source, uint64_t position, uint64_t length) {
  auto after = std::upper_bound(source.segments.begin(), source.segments.end(), position,
                                [](uint64_t value, const LayoutSegment& segment) { return value < segment.offset; });
  if (after == source.segments.begin()) return {};
  const LayoutSegment& segment = *(after - 1);
  uint64_t within = position - segment.offset;
  if (within >= segment.length || segment.places.empty()) return {};
  Located found{Located::What::bytes, source.node, 0, source.bytes, std::min(length, segment.length - within)};
  uint64_t place = segment.places[0];
  if (segment.places.size() > 1) {
    uint64_t stripe = within / segment.stripeBytes;
    place = segment.places[stripe % segment.places.size()];
    within = stripe / segment.places.size() * segment.stripeBytes + within % segment.stripeBytes;
    found.length = std::min(found.length, segment.stripeBytes - within % segment.stripeBytes);
  }
  found.offset = place + within;
  bool isThere = place != LayoutSegment::kMissing && found.offset < source.bytes;
  if (!isThere || found.length > source.bytes - found.offset) found.what = Located::What::damaged;
  return found;
}

struct FilePiece {
  uint64_t length = 0;
  Located::What what = Located::What::damaged;
  bool fromReader = false;
  uint64_t place = 0;
};

// A file that is open.
struct FuseFile {
  static constexpr size_t kPiecesMax = 1024;

  uint64_t node = 0;
  uint64_t bytes = 0;
  std::shared_ptr<const FuseSource> source;  // null: the owner serves the file itself
  bool inTree = false;
  std::map<uint64_t, FilePiece> pieces;  // by offset; of a file in a tree

  Located Locate(uint64_t position) const {
    uint64_t left = bytes - position;
    if (!inTree) {
      if (source != nullptr) return LocateInSource(*source, position, left);
      return {Located::What::bytes, node, position, bytes, left};
    }
    auto after = pieces.upper_bound(position);
    if (after == pieces.begin()) return {Located::What::unknown};
    const auto& [offset, piece] = *std::prev(after);
    uint64_t within = position - offset;
    if (within >= piece.length) return {Located::What::unknown};
    left = std::min(left, piece.length - within);
    if (piece.fromReader) return {Located::What::bytes, node, position, bytes, left};
    if (piece.what != Located::What::bytes) return {piece.what, 0, 0, 0, left};
    return LocateInSource(*source, piece.place + within, left);
  }

  void Add(uint64_t offset, FilePiece piece) {
    if (pieces.size() >= kPiecesMax) pieces.clear();
    pieces[offset] = piece;
  }
};

}  // namespace basalt
