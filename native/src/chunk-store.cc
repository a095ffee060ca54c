// storeChunks: decoded data on its way into the local cache: a digest for each chunk, and the chunk compressed where that helps.
#include <zstd.h>

#include <algorithm>

#include "capability.h"
#include "compressor.h"
#include "hash.h"
#include "index.h"
#include "worker.h"

namespace {

using basalt::Span;

constexpr int kLevel = 1;

struct Row {
  uint8_t digest[32];
  uint32_t stored;
  uint32_t raw_and_encoding;
};
static_assert(sizeof(Row) == 40);

class StoreWork : public basalt::Worker {
 public:
  explicit StoreWork(const Napi::CallbackInfo& info) : Worker(info.Env()) {
    Napi::Object parts = info[0].As<Napi::Object>();
    input_ = basalt::SpanOf(parts.Get("input"));
    output_ = basalt::SpanOf(parts.Get("output"));
    rows_ = basalt::SpanOf(parts.Get("rows"));
    chunk_ = static_cast<size_t>(basalt::NumberOf(parts.Get("chunkBytes")));
    size_t chunks = chunk_ == 0 ? 0 : (input_.length + chunk_ - 1) / chunk_;
    if (chunk_ == 0 || output_.length < input_.length || rows_.length < chunks * sizeof(Row)) {
      throw Napi::RangeError::New(info.Env(), "storeChunks: a buffer is too short");
    }
    Keep(parts);
  }

 protected:
  void Run() override {
    size_t number = 0;
    for (size_t at = 0; at < input_.length; at += chunk_, number++) {
      size_t raw = std::min(chunk_, input_.length - at);
      Row row;
      basalt::Hash(input_.data + at, raw, row.digest);
      // One byte less than the chunk: what does not shrink is stored as it is.
      size_t stored =
          ZSTD_compressCCtx(basalt::Compressor(), output_.data + stored_, raw - 1, input_.data + at, raw, kLevel);
      uint32_t encoding = basalt::kEncodingZstd;
      if (ZSTD_isError(stored)) {
        std::memcpy(output_.data + stored_, input_.data + at, raw);
        stored = raw;
        encoding = basalt::kEncodingRaw;
      }
      row.stored = static_cast<uint32_t>(stored);
      row.raw_and_encoding = static_cast<uint32_t>(raw) | encoding << 24;
      std::memcpy(rows_.data + number * sizeof row, &row, sizeof row);
      stored_ += stored;
    }
  }
  Napi::Value Value(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(stored_)); }

 private:
  Span input_, output_, rows_;
  size_t chunk_, stored_ = 0;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("storeChunks", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new StoreWork(info))->Start();
              }));
});

}  // namespace
