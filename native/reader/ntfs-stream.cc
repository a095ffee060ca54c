// The bytes of attributes of NTFS: runs of clusters, and units of clusters that are compressed together.
#include <algorithm>

#include "ntfs-volume.h"

namespace reader {

Run NtfsVolume::FindRun(const NtfsStream& stream, uint64_t cluster) const {
  auto behind = std::upper_bound(stream.parts.begin(), stream.parts.end(), cluster,
                                 [](uint64_t wanted, const NtfsPart& part) { return wanted < part.first; });
  if (behind == stream.parts.begin()) Damaged("a file has no place for some of its bytes");
  Holder holder{nullptr, {nullptr, 0}};
  const Bytes attribute = AttributeOf(stream.file, *(behind - 1), &holder);
  if (attribute.U8(8) == 0) Damaged("a list of runs is damaged");
  Run found;
  EachNtfsRun(attribute, [&](const Run& run) {
    if (run.first > cluster || cluster - run.first >= run.count) return true;
    found = run;
    return false;
  });
  if (found.count == 0) Damaged("a file has no place for some of its bytes");
  return found;
}

void NtfsVolume::ReadPlaces(uint64_t block, uint64_t skip, uint8_t* out, size_t length) const {
  // A block is one more than the number of its cluster.
  const uint64_t first = block - 1;
  if (first >= clusters_ || (skip + length + clusterBytes_ - 1) / clusterBytes_ > clusters_ - first)
    Damaged("a file reaches behind the end of the volume");
  image_.Read(first * clusterBytes_ + skip, out, length);
}

void NtfsVolume::ReadClusters(const NtfsStream& stream, uint64_t offset, uint8_t* out, size_t length) const {
  auto find = [&](uint64_t cluster) { return FindRun(stream, cluster); };
  auto read = [this](uint64_t block, uint64_t skip, uint8_t* to, size_t count) { ReadPlaces(block, skip, to, count); };
  ReadRuns(clusterBytes_, offset, out, length, find, read);
}

// A unit whose clusters are all there is not compressed; one with none is zeros; the others end where a hole begins.
void NtfsVolume::ReadUnits(const NtfsStream& stream, uint64_t offset, uint8_t* out, size_t length) const {
  const uint64_t unitBytes = stream.unitClusters * clusterBytes_;
  std::vector<uint8_t> packed;
  std::vector<uint8_t> plain;
  while (length > 0) {
    const uint64_t first = offset / unitBytes * stream.unitClusters;
    const uint64_t skip = offset % unitBytes;
    const auto count = static_cast<size_t>(std::min<uint64_t>(length, unitBytes - skip));
    uint64_t there = 0;
    while (there < stream.unitClusters) {
      const Run run = FindRun(stream, first + there);
      if (run.block == 0) break;
      there = std::min(stream.unitClusters, run.first + run.count - first);
    }
    if (there == stream.unitClusters) {
      ReadClusters(stream, offset, out, count);
    } else if (there == 0) {
      memset(out, 0, count);
    } else {
      packed.resize(static_cast<size_t>(there * clusterBytes_));
      plain.resize(static_cast<size_t>(unitBytes));
      ReadClusters(stream, first * clusterBytes_, packed.data(), packed.size());
      OpenLznt1(packed.data(), packed.size(), plain.data(), plain.size());
      memcpy(out, plain.data() + skip, count);
    }
    offset += count;
    out += count;
    length -= count;
  }
}

void NtfsVolume::Read(const NtfsStream& stream, uint64_t offset, uint8_t* out, size_t length) const {
  if (stream.encrypted) Fail(EACCES, "the file is encrypted");
  if (stream.resident) {
    const Bytes piece = Bytes(stream.value.data(), stream.value.size()).Sub(static_cast<size_t>(offset), length);
    std::copy(piece.data(), piece.data() + length, out);
    return;
  }
  // What was reserved and never written is zeros.
  const auto written = offset < stream.validBytes ? static_cast<size_t>(std::min<uint64_t>(length, stream.validBytes - offset)) : 0;
  if (stream.unitClusters != 0) ReadUnits(stream, offset, out, written);
  else ReadClusters(stream, offset, out, written);
  std::fill(out + written, out + length, 0);
}

Range NtfsVolume::NextData(const NtfsStream& stream, uint64_t offset) const {
  if (stream.resident || stream.encrypted) return {offset, offset < stream.size ? stream.size - offset : 0};
  auto find = [&](uint64_t cluster) {
    if (stream.unitClusters == 0) return FindRun(stream, cluster);
    // A hole at the end of a unit is part of how it is compressed; one that begins a unit is as long as whole units are.
    Run run{cluster / stream.unitClusters * stream.unitClusters, stream.unitClusters, 0};
    const Run found = FindRun(stream, run.first);
    run.block = found.block;
    if (found.block == 0) run.count = std::max(run.count, (found.first + found.count - run.first) / stream.unitClusters * stream.unitClusters);
    return run;
  };
  const Range range = offset < stream.validBytes ? NextDataInRuns(clusterBytes_, stream.validBytes, offset, find) : Range{stream.size, 0};
  return range.length == 0 ? Range{stream.size, 0} : range;
}

Piece NtfsVolume::Locate(const NtfsStream& stream, uint64_t offset) const {
  if (stream.encrypted) Fail(EACCES, "the file is encrypted");
  if (stream.resident || stream.unitClusters != 0) return {offset, stream.size - offset, Where::kReader, 0};
  if (offset >= stream.validBytes) return {stream.validBytes, stream.size - stream.validBytes, Where::kZeros, 0};
  auto find = [&](uint64_t cluster) { return FindRun(stream, cluster); };
  Piece piece = LocateInRuns(clusterBytes_, offset, find, [this](const Run& run) {
    // A block is one more than the number of its cluster.
    if (run.block > clusters_ || run.count > clusters_ - (run.block - 1)) Damaged("a file reaches behind the end of the volume");
    return (run.block - 1) * clusterBytes_;
  });
  piece.length = std::min(piece.length, stream.validBytes - piece.offset);
  return piece;
}

std::vector<uint8_t> NtfsVolume::Whole(const NtfsStream& stream, size_t most) const {
  if (stream.size > most) Damaged("a file of the volume's own is larger than it can be");
  std::vector<uint8_t> out(static_cast<size_t>(stream.size));
  Read(stream, 0, out.data(), out.size());
  return out;
}

}  // namespace reader
