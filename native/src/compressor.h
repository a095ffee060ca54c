// One zstd context a thread, for all that compresses: its memory is allocated once, and does not grow for inputs of one size.
#pragma once
#include <zstd.h>

namespace basalt {

// Null where there was no memory for it.
inline ZSTD_CCtx* Compressor() {
  struct Holder {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ~Holder() { ZSTD_freeCCtx(context); }
  };
  thread_local Holder holder;
  return holder.context;
}

}  // namespace basalt
