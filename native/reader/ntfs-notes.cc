// The state that an NTFS volume was left in: its mark of being in need of a check, its log, and a Windows that sleeps on it.
#include "ntfs-volume.h"

namespace reader {

namespace {

constexpr uint64_t kLog = 2;
constexpr uint64_t kFacts = 3;
constexpr uint16_t kDirty = 1;
constexpr uint16_t kNobody = 0xffff;
constexpr uint16_t kLogIsClean = 2;

// The log begins with two heads; the one that was written last counts. One that was never used is all ones.
bool LogIsDirty(const NtfsVolume& volume) {
  NtfsStream log;
  if (!volume.Find(volume.File(kLog), kNtfsData, {}, &log) || log.size < 8192) return false;
  uint64_t newest = 0;
  bool dirty = false;
  uint64_t pageBytes = 4096;
  for (uint64_t at : {uint64_t{0}, pageBytes}) {
    std::vector<uint8_t> raw(static_cast<size_t>(pageBytes));
    volume.Read(log, at, raw.data(), raw.size());
    const Bytes page(raw.data(), raw.size());
    if (page.Text(0, 4) != "RSTR" || !UnmarkSectors(raw.data(), raw.size())) continue;
    const Bytes area = page.From(page.Le16(24));
    const uint64_t number = area.Le64(0);
    if (number < newest) continue;
    newest = number;
    dirty = area.Le16(12) != kNobody && (area.Le16(14) & kLogIsClean) == 0;
  }
  return dirty;
}

bool Sleeps(const NtfsVolume& volume) {
  NtfsStream memory;
  const uint64_t node = LookupNtfs(volume, volume.File(kNtfsRoot), "hiberfil.sys");
  if (!volume.Find(volume.File(node), kNtfsData, {}, &memory) || memory.size < 4096) return false;
  char head[4];
  volume.Read(memory, 0, reinterpret_cast<uint8_t*>(head), sizeof(head));
  return memcmp(head, "hibr", 4) == 0 || memcmp(head, "HIBR", 4) == 0;
}

// What can't be read is told to who looks at it.
bool Is(bool (*check)(const NtfsVolume&), const NtfsVolume& volume) {
  try {
    return check(volume);
  } catch (const Failure&) {
    return false;
  }
}

bool IsMarked(const NtfsVolume& volume) {
  NtfsStream facts;
  if (!volume.Find(volume.File(kFacts), kNtfsVolumeFacts, {}, &facts)) return false;
  const std::vector<uint8_t> raw = volume.Whole(facts, 512);
  return (Bytes(raw.data(), raw.size()).Le16(10) & kDirty) != 0;
}

}  // namespace

std::vector<std::string> NtfsNotes(const NtfsVolume& volume) {
  std::vector<std::string> notes;
  if (Is(LogIsDirty, volume))
    notes.push_back(
        "The log was not empty and is not replayed: what was changed last may be missing, old or unreadable. "
        "Windows replays it when a restored volume is used.");
  if (Is(IsMarked, volume)) notes.push_back("The file system is marked as in need of a check.");
  if (Is(Sleeps, volume)) notes.push_back("Windows was asleep on this volume: what it had in memory is not shown.");
  return notes;
}

}  // namespace reader
