// What readers answer, as the kernel wants it. Promises: what no file can be like is not given on.
#pragma once
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <optional>
#include <string>

#include "fuse-file.h"
#include "reader-channel.h"

namespace basalt {

struct TreeNodes {
  uint64_t node;  // of the root of the tree
  uint64_t root;  // the reader's number of it
  uint64_t mask;
};

// Attributes of a file in a tree; nothing where they are damaged or make no sense.
inline std::optional<struct stat> TakeAttributes(AnswerCursor& answer, const TreeNodes& tree) {
  struct stat out {};
  const uint64_t node = answer.U64();
  out.st_ino = tree.node | (node == tree.root ? 0 : node);
  out.st_mode = answer.U32();
  out.st_nlink = answer.U32();
  out.st_uid = answer.U32();
  out.st_gid = answer.U32();
  const uint32_t major = answer.U32();
  out.st_rdev = makedev(major, answer.U32());
  const uint64_t size = answer.U64();
  out.st_size = static_cast<off_t>(size);
  out.st_blocks = static_cast<blkcnt_t>(answer.U64() / 512);
  out.st_blksize = 4096;
  for (timespec* time : {&out.st_atim, &out.st_mtim, &out.st_ctim}) {
    time->tv_sec = static_cast<time_t>(answer.U64());
    time->tv_nsec = answer.U32();
    if (time->tv_nsec >= 1000000000) time->tv_nsec = 0;
  }
  const bool isKind = S_ISREG(out.st_mode) || S_ISDIR(out.st_mode) || S_ISLNK(out.st_mode) || S_ISCHR(out.st_mode) ||
                      S_ISBLK(out.st_mode) || S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode);
  if (!answer.whole() || node == 0 || node > tree.mask || !isKind || out.st_nlink == 0 || size > INT64_MAX) return std::nullopt;
  return out;
}

// Where the bytes of a file are, as far as the reader has told.
inline void TakePieces(AnswerCursor& answer, FuseFile& file) {
  while (!answer.ended()) {
    const uint64_t offset = answer.U64();
    FilePiece piece;
    piece.length = answer.U64();
    const uint8_t where = answer.U8();
    piece.place = answer.U64();
    if (!answer.whole() || where > 2 || piece.length == 0 || offset >= file.bytes) return;
    piece.what = where == 1 ? Located::What::zeros : Located::What::bytes;
    piece.fromReader = where == 2;
    file.Add(offset, piece);
  }
}

// A name that a folder can show.
inline bool IsName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 1024 && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

}  // namespace basalt
