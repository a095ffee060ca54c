// An NTFS volume: boot sector, records of the file table (MFT), attributes and where their bytes are. Source: what the
// documentation of Linux's drivers and Microsoft's "MS-FSCC" say of the format.
//
// Promises: see file-system.h. A record whose sectors don't belong together is damaged; one that has been given to another file
// since a name was written is not taken for it. The log is not replayed: a note says so where it is not empty.
#pragma once
#include <memory>

#include "block-cache.h"
#include "file-system.h"
#include "runs.h"

namespace reader {

enum NtfsType : uint32_t {
  kNtfsStandard = 0x10,
  kNtfsList = 0x20,
  kNtfsName = 0x30,
  kNtfsVolumeName = 0x60,
  kNtfsVolumeFacts = 0x70,
  kNtfsData = 0x80,
  kNtfsIndexRoot = 0x90,
  kNtfsIndexBlocks = 0xa0,
  kNtfsBitmap = 0xb0,
  kNtfsReparse = 0xc0,
  kNtfsExtended = 0xe0,
};

constexpr uint64_t kNtfsRoot = 5;
// Files below are the volume's own.
constexpr uint64_t kNtfsFirstUser = 16;

constexpr uint32_t kNtfsReadOnly = 0x1;
constexpr uint32_t kNtfsHidden = 0x2;
constexpr uint32_t kNtfsSystem = 0x4;
constexpr uint32_t kNtfsHasReparse = 0x400;
constexpr uint32_t kNtfsElsewhere = 0x1000 | 0x40000 | 0x400000;  // offline, or fetched when it is opened or read

// One attribute, or one part of it where it is spread over records.
struct NtfsPart {
  uint32_t type = 0;
  uint16_t instance = 0;
  std::u16string name;
  uint64_t first = 0;  // cluster of the attribute that it begins with
  uint64_t record = 0;
};

// A file with all its attributes. Its node is its record and, above 2^32, how often the record was used before.
struct NtfsFile {
  uint64_t node = 0;
  uint64_t record = 0;
  bool isFolder = false;
  uint32_t names = 0;  // also those in the form of DOS
  std::vector<NtfsPart> parts;
};

// The bytes of one attribute.
struct NtfsStream {
  uint64_t file = 0;  // record
  bool resident = true;
  std::vector<uint8_t> value;  // where resident
  uint64_t size = 0;
  uint64_t validBytes = 0;  // behind them are zeros
  uint64_t usedBytes = 0;
  bool encrypted = false;
  uint64_t unitClusters = 0;  // that are compressed together; 0: not compressed
  std::vector<NtfsPart> parts;
};

class NtfsVolume {
 public:
  explicit NtfsVolume(const Image& image);
  static bool IsOne(const Image& image);

  const Description& about() const { return about_; }
  uint32_t clusterBytes() const { return clusterBytes_; }
  // A letter as names are compared.
  char16_t Upper(char16_t letter) const { return upper_[letter]; }

  // ENOENT where there is none. `node` without its upper half means whatever file has the record now.
  NtfsFile File(uint64_t node) const;
  // The attribute of that kind and name; false where there is none.
  bool Find(const NtfsFile& file, uint32_t type, std::u16string_view name, NtfsStream* out) const;
  // The same of a part of it.
  NtfsStream Open(const NtfsFile& file, const NtfsPart& first) const;
  // The run of a stream that a cluster lies in. Its block is one more than the number of the cluster on the volume.
  Run FindRun(const NtfsStream& stream, uint64_t cluster) const;
  // Fills `out`; the range lies within the size.
  void Read(const NtfsStream& stream, uint64_t offset, uint8_t* out, size_t length) const;
  Range NextData(const NtfsStream& stream, uint64_t offset) const;
  // What FileSystem::Locate gives.
  Piece Locate(const NtfsStream& stream, uint64_t offset) const;
  // All of a stream that is no larger than `most`; Damaged where it is.
  std::vector<uint8_t> Whole(const NtfsStream& stream, size_t most) const;

 private:
  struct Holder {
    Block block;
    Bytes record;
  };

  void ReadBoot();
  void OpenTable();
  void ReadUpper();
  void Describe();
  Holder Record(uint64_t number) const;
  void LoadRecords(uint64_t block, std::vector<uint8_t>& out) const;
  void ListParts(const Bytes& record, NtfsFile* file) const;
  void FollowList(const Bytes& attribute, NtfsFile* file) const;
  // The attribute behind a part, in a record that is held.
  Bytes AttributeOf(uint64_t file, const NtfsPart& part, Holder* holder) const;
  void ReadClusters(const NtfsStream& stream, uint64_t offset, uint8_t* out, size_t length) const;
  void ReadUnits(const NtfsStream& stream, uint64_t offset, uint8_t* out, size_t length) const;
  void ReadPlaces(uint64_t block, uint64_t skip, uint8_t* out, size_t length) const;

  const Image image_;
  Description about_;
  uint32_t clusterBytes_ = 0;
  uint32_t recordBytes_ = 0;
  uint32_t blockRecords_ = 1;  // records that are read at a time
  uint64_t clusters_ = 0;
  uint64_t tableAt_ = 0;  // cluster
  uint64_t tableBytes_ = 0;
  std::vector<Run> table_;  // where the file table is
  std::vector<char16_t> upper_;
  std::unique_ptr<BlockCache> records_;
};

// Makes a structure whole whose sectors end with a mark in place of their own bytes; false where they don't belong together.
bool UnmarkSectors(uint8_t* bytes, size_t size);
// Calls `take(attribute)` for each attribute of a record until it says no.
void EachAttribute(const Bytes& record, const std::function<bool(const Bytes&)>& take);
// Calls `take(run)` for each run that an attribute, or a part of it, lists, until it says no.
void EachNtfsRun(const Bytes& attribute, const std::function<bool(const Run&)>& take);
Time NtfsTime(uint64_t since1601);
// Units of 16 bits.
std::u16string NtfsText(const Bytes& bytes, size_t at, size_t units);

// What a compressed piece holds. Damaged where it can't be.
void OpenLznt1(const uint8_t* packed, size_t packedBytes, uint8_t* out, size_t length);

uint64_t LookupNtfs(const NtfsVolume& volume, const NtfsFile& folder, std::string_view name);
void ListNtfs(const NtfsVolume& volume, const NtfsFile& folder, uint64_t position, const std::function<bool(Entry&&)>& take);

// What stands in place of a file's own bytes.
struct NtfsStandIn {
  uint32_t kind = 0;        // S_IFMT bits; 0: the file is what it seems
  std::string target;       // of a link
  uint32_t deviceMajor = 0;
  uint32_t deviceMinor = 0;
  std::string unreadable;   // why its bytes are not here; empty: they are
};
NtfsStandIn StandInOf(const NtfsVolume& volume, const NtfsFile& file, uint32_t flags);

// The list of extended attributes that NTFS itself keeps, by their names.
std::vector<NamedValue> NtfsExtended(const NtfsVolume& volume, const NtfsFile& file);
// Those that are shown, and named streams as far as they can be.
std::vector<NamedValue> NtfsAttributes(const NtfsVolume& volume, const NtfsFile& file);

// What a user should know of the state that the volume was left in.
std::vector<std::string> NtfsNotes(const NtfsVolume& volume);

}  // namespace reader
