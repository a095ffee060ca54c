// Answers requests about one file system on a socket, with several threads.
//
//   request: u32 bytes that follow, u32 id, u8 operation, u64 node, u64 offset, u32 length, then a name
//   answer:  u32 bytes that follow, u32 id, i32 errno, then what the operation gives; on failure why, as text
// All numbers little-endian. Answers come in any order. The first answer is not asked for: id 0, the description or the failure.
// Promises: a request that can't be understood ends the process; every other one is answered once.
#pragma once
#include "file-system.h"

namespace reader {

enum class Operation : uint8_t {
  kStat = 1,       // -> attributes
  kLookup,         // name in folder `node` -> attributes
  kList,           // entries of `node` from position `offset` on, about `length` bytes -> u8 ended, then entries with attributes
  kReadLink,       // -> text
  kRead,           // -> bytes
  kNextData,       // -> u64 offset, u64 length
  kAttributeNames, // -> names, each with a zero byte behind it
  kAttribute,      // name -> bytes
  kLocate,         // -> attributes of the file, then where its bytes are from `offset` on, at most `length` pieces, one behind
                   //    the other: u64 offset, u64 length, u8 where (see Where), u64 place
  kGather,         // as kList; behind each entry u8 `Gathered`, then what it says: target, u32 count of names and values, bytes
};

// What an entry of kGather brings. What fails, or does not fit, is left out: who asks for it by itself learns why.
enum Gathered : uint8_t {
  kWithDetails = 1,
  kWithContent = 2,
};
// Files up to this size bring their content.
constexpr uint64_t kGatherFileBytesMax = 64 << 10;

constexpr uint32_t kAnswerBytesMax = 1 << 20;
constexpr uint32_t kPiecesMax = 256;

// Serves until the other end closes; `Failure` of the opening is told and ends it, too.
void Serve(int socket, const std::function<std::unique_ptr<FileSystem>()>& open, unsigned threads,
           const std::function<void()>& beforeFirstRead);

}  // namespace reader
