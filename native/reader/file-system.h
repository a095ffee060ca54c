// What every reader of a file system gives. Nodes are numbers of the reader's choice below 2^48, the same in every run.
//
// Promises that each reader keeps: any thread may call any function at any time; memory is bounded whatever the image says,
// and so is the time of one call; what can't be is a Failure (EIO), never a crash; nothing is ever written.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bytes.h"
#include "image.h"

namespace reader {

struct Time {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

struct Attributes {
  uint64_t node = 0;
  uint32_t mode = 0;  // kind and permissions, as stat(2) has them
  uint32_t links = 1;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t deviceMajor = 0;
  uint32_t deviceMinor = 0;
  uint64_t size = 0;
  uint64_t usedBytes = 0;
  Time accessed, modified, changed;
};

struct Entry {
  std::string name;
  uint64_t node = 0;
  uint32_t kind = 0;      // S_IFMT bits; 0 where the folder does not say
  uint64_t position = 0;  // from where the list goes on behind this entry; never 0
};

// An extended attribute by its full name ("user.x").
struct NamedValue {
  std::string name;
  std::string value;
};

struct Range {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Where the bytes of a piece of a file are.
enum class Where : uint8_t { kImage, kZeros, kReader };

// A piece of a file; `kImage`: it lies in one run from `place` on, `kReader`: only Read gives its bytes.
struct Piece {
  uint64_t offset = 0;
  uint64_t length = 0;
  Where where = Where::kReader;
  uint64_t place = 0;
};

struct Description {
  std::string kind;
  std::string label;
  std::string uuid;
  uint64_t root = 0;
  uint32_t blockBytes = 0;
  uint64_t totalBytes = 0;
  std::vector<std::string> notes;  // what a user should know of what is shown, a sentence each
};

// Larger files than 4 PiB are not shown: who asks can't count further.
constexpr uint64_t kFileBytesMax = uint64_t{1} << 52;
constexpr uint64_t kNodeMax = (1ull << 48) - 1;
// Names are at most this long, in bytes of UTF-8 or of whatever the image holds.
constexpr size_t kNameBytesMax = 1024;
constexpr size_t kLinkBytesMax = 4096;
constexpr size_t kAttributeBytesMax = 64 << 10;
// One call looks at no more entries of a folder; a longer list goes on from where it ended.
constexpr size_t kFolderBlocksMax = 4096;

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual const Description& About() const = 0;
  virtual Attributes Stat(uint64_t node) = 0;
  // ENOENT where there is no such name, ENOTDIR where `folder` is none.
  virtual uint64_t Lookup(uint64_t folder, std::string_view name) = 0;
  // Gives entries from `position` on (0: the first) until `take` says no or there are none left; without "." and "..".
  virtual void List(uint64_t folder, uint64_t position, const std::function<bool(Entry&&)>& take) = 0;
  virtual std::string ReadLink(uint64_t node) = 0;
  // Fills `out` from `offset` on; fewer bytes only at the end of the file.
  virtual size_t Read(uint64_t node, uint64_t offset, uint8_t* out, size_t length) = 0;
  // The first range at or behind `offset` that may hold data; length 0: zeros to the end of the file.
  virtual Range NextData(uint64_t node, uint64_t offset) = 0;
  // The piece that `offset`, which is within the file, lies in; it may begin before and end behind the file.
  virtual Piece Locate(uint64_t node, uint64_t offset) { return {offset, Stat(node).size - offset, Where::kReader, 0}; }
  virtual std::vector<NamedValue> ExtendedAttributes(uint64_t) { return {}; }
};

// The S_IFMT bits of a kind as folders of ext and XFS say it; 0 where it is none.
inline uint32_t KindOfEntry(uint8_t type) {
  static const uint32_t kinds[] = {0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK};
  return type < 8 ? kinds[type] : 0;
}

// The node of a name, looked for in the whole list of a folder; `list(take)` gives it. ENOENT.
template <typename List>
uint64_t FindInList(List list, std::string_view name) {
  uint64_t found = 0;
  list([&](Entry&& entry) {
    if (entry.name != name) return true;
    found = entry.node;
    return false;
  });
  if (found == 0) Fail(ENOENT, "there is no such name");
  return found;
}

// A reader of one kind: nothing where the image holds no such file system, a Failure where it does and can't be read.
using Open = std::unique_ptr<FileSystem> (*)(const Image& image);

std::unique_ptr<FileSystem> OpenExt(const Image& image);
std::unique_ptr<FileSystem> OpenXfs(const Image& image);
std::unique_ptr<FileSystem> OpenFat(const Image& image);
std::unique_ptr<FileSystem> OpenExfat(const Image& image);
std::unique_ptr<FileSystem> OpenNtfs(const Image& image);

// Tries every reader. Failure ENOTSUP where none knows what is there.
std::unique_ptr<FileSystem> OpenFileSystem(const Image& image);

}  // namespace reader
