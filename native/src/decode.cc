// decode: decompress and verify blocks as they were read from packs. What is not proved right is never given out.
#include "decode.h"

#include <zstd.h>

#include <memory>

#include "capability.h"
#include "hash.h"
#include "index.h"
#include "worker.h"

namespace basalt {

static ZSTD_DCtx* Decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  return context.get();
}

static bool Expand(const StoredBlock& stored, uint8_t* output, size_t raw) {
  if (stored.encoding == kEncodingRaw) {
    if (stored.length != raw) return false;
    std::memcpy(output, stored.bytes, raw);
    return true;
  }
  return stored.encoding == kEncodingZstd &&
         ZSTD_decompressDCtx(Decompressor(), output, raw, stored.bytes, stored.length) == raw;
}

bool Decode(const StoredBlock& stored, const uint8_t* address, uint8_t* output, size_t raw) {
  if (!Expand(stored, output, raw)) return false;
  uint8_t digest[kDigestBytes];
  Hash(output, raw, digest);
  return std::memcmp(digest, address, sizeof digest) == 0;
}

}  // namespace basalt

namespace {

using basalt::Span;

struct Block {
  uint8_t address[32];
  uint32_t input_offset;
  uint32_t stored;
  uint32_t raw_and_encoding;
  uint32_t output_offset;
};
static_assert(sizeof(Block) == 48);

class DecodeWork : public basalt::Worker {
 public:
  explicit DecodeWork(const Napi::CallbackInfo& info) : Worker(info.Env()) {
    Napi::Object parts = info[0].As<Napi::Object>();
    input_ = basalt::SpanOf(parts.Get("input"));
    output_ = basalt::SpanOf(parts.Get("output"));
    blocks_ = basalt::SpanOf(parts.Get("blocks"));
    results_ = basalt::SpanOf(parts.Get("results"));
    if (results_.length < blocks_.length / sizeof(Block)) {
      throw Napi::RangeError::New(info.Env(), "decode: results are too short");
    }
    Keep(parts);
  }

 protected:
  void Run() override {
    for (size_t i = 0; i < blocks_.length / sizeof(Block); i++) {
      Block block;
      std::memcpy(&block, blocks_.data + i * sizeof block, sizeof block);
      bool right = DecodeOne(block);
      results_.data[i] = right ? 0 : 1;
      corrupt_ += right ? 0 : 1;
    }
  }
  Napi::Value Value(Napi::Env env) override { return Napi::Number::New(env, corrupt_); }

 private:
  bool DecodeOne(const Block& block) {
    size_t raw = block.raw_and_encoding & 0xffffff;
    uint32_t encoding = block.raw_and_encoding >> 24;
    // Sums of two 32-bit numbers in 64 bits: no overflow, whatever the index or a directory says.
    if (uint64_t{block.output_offset} + raw > output_.length) return false;
    uint8_t* output = output_.data + block.output_offset;
    bool right = uint64_t{block.input_offset} + block.stored <= input_.length &&
                 basalt::Decode({input_.data + block.input_offset, block.stored, encoding}, block.address, output, raw);
    if (!right) std::memset(output, 0, raw);
    return right;
  }

  Span input_, output_, blocks_, results_;
  uint32_t corrupt_ = 0;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("decode", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new DecodeWork(info))->Start();
              }));
});

}  // namespace
