// LZNT1, as MS-XCA describes it: pieces of 4 KiB, each by itself, of letters and of references to what is behind them.
#include <algorithm>

#include "ntfs-volume.h"

namespace reader {

namespace {

constexpr size_t kPieceBytes = 4096;

// Gives how many bytes the piece holds.
size_t OpenPiece(const Bytes& packed, uint8_t* out, size_t room) {
  size_t done = 0;
  for (size_t at = 0; at < packed.size();) {
    const uint8_t kinds = packed.U8(at++);
    for (unsigned token = 0; token < 8 && at < packed.size(); ++token) {
      if ((kinds >> token & 1) == 0) {
        if (done >= room) Damaged("a compressed file is damaged");
        out[done++] = packed.U8(at++);
        continue;
      }
      // The further in the piece, the more bits tell how far back.
      unsigned lengthBits = 12;
      for (size_t reach = 16; reach < done; reach *= 2) --lengthBits;
      const uint16_t value = packed.Le16(at);
      at += 2;
      const size_t back = size_t{value} / (size_t{1} << lengthBits) + 1;
      const size_t count = (value & ((1u << lengthBits) - 1)) + 3;
      if (back > done || count > room - done) Damaged("a compressed file is damaged");
      for (size_t byte = 0; byte < count; ++byte, ++done) out[done] = out[done - back];
    }
  }
  return done;
}

}  // namespace

void OpenLznt1(const uint8_t* packed, size_t packedBytes, uint8_t* out, size_t length) {
  const Bytes all(packed, packedBytes);
  size_t done = 0;
  for (size_t at = 0; done < length && at + 2 <= packedBytes;) {
    const uint16_t head = all.Le16(at);
    if (head == 0) break;
    const size_t bytes = (head & 0xfffu) + 1;
    const Bytes piece = all.Sub(at + 2, bytes);
    const size_t room = std::min(kPieceBytes, length - done);
    size_t held = bytes;
    if (head & 0x8000) held = OpenPiece(piece, out + done, room);
    else if (bytes <= room) memcpy(out + done, piece.data(), bytes);
    else Damaged("a compressed file is damaged");
    memset(out + done + held, 0, room - held);
    done += room;
    at += 2 + bytes;
  }
  memset(out + done, 0, length - done);
}

}  // namespace reader
