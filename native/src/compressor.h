// One zstd context a thread, for all that compresses: its memory is allocated once, and does not grow for inputs of one size.
#pragma once
#include <zstd.h>

#include <memory>

namespace basalt {

// Null where there was no memory for it.
inline ZSTD_CCtx* Compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  return context.get();
}

}  // namespace basalt
