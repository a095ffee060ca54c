// openChunkDecoder: one object of a Cinder backup, decompressed a step at a time, with the MD5 of what came out.
//
// All memory that grows with what the object demands is lent: a frame that wants a larger window than that is refused before
// anything is allocated. Calls of one decoder come one after the other; the caller sees to that.
#define ZSTD_STATIC_LINKING_ONLY
#define BZ_NO_STDIO
#include <bzlib.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "capability.h"
#include "digest.h"
#include "worker.h"

namespace {

using basalt::Span;

constexpr int kWindowLogMax = 31;

// Hands out lent memory from its start; all of it comes back at once.
struct Workspace {
  Span memory;
  size_t used = 0;
  void* Take(size_t bytes) {
    size_t start = (used + 63) & ~size_t{63};
    if (bytes > memory.length || start > memory.length - bytes) return nullptr;
    used = start + bytes;
    return memory.data + start;
  }
};

void* ZlibTake(void* workspace, uInt items, uInt size) {
  return static_cast<Workspace*>(workspace)->Take(size_t{items} * size);
}
void* Bzip2Take(void* workspace, int items, int size) {
  return static_cast<Workspace*>(workspace)->Take(static_cast<size_t>(items) * static_cast<size_t>(size));
}
void Keep(void*, void*) {}

struct Step {
  size_t consumed = 0;
  size_t produced = 0;
};

class Decoder {
 public:
  Decoder(const std::string& algorithm, Span memory) : workspace_{memory}, md5_(basalt::Md5()) {
    ready_ = md5_.Begin();
    if (algorithm == "zlib") {
      kind_ = kZlib;
      zlib_.zalloc = ZlibTake;
      zlib_.zfree = Keep;
      zlib_.opaque = &workspace_;
      ready_ = ready_ && inflateInit(&zlib_) == Z_OK;
    } else if (algorithm == "bz2") {
      kind_ = kBzip2;
      ready_ = ready_ && BeginBzip2();
    } else if (algorithm == "zstd") {
      kind_ = kZstd;
      zstd_ = ZSTD_initStaticDCtx(memory.data, memory.length);
      ready_ = ready_ && zstd_ && !ZSTD_isError(ZSTD_DCtx_setParameter(zstd_, ZSTD_d_windowLogMax, kWindowLogMax));
    }
  }

  bool ready() const { return ready_; }
  bool done() const { return done_; }

  // False where the object is damaged.
  bool Run(Span input, Span output, Step* step) {
    bool whole = true;
    if (!done_ && output.length > 0) {
      if (kind_ == kRaw) whole = Raw(input, output, step);
      if (kind_ == kZlib) whole = Zlib(input, output, step);
      if (kind_ == kBzip2) whole = Bzip2(input, output, step);
      if (kind_ == kZstd) whole = Zstd(input, output, step);
    }
    return whole && md5_.Add(output.data, step->produced);
  }

  bool End(uint8_t* digest) { return std::exchange(ready_, false) && md5_.End(digest); }

 private:
  enum Kind { kRaw, kZlib, kBzip2, kZstd };

  static bool Raw(Span input, Span output, Step* step) {
    step->consumed = step->produced = std::min(input.length, output.length);
    if (output.data != input.data) std::memcpy(output.data, input.data, step->produced);
    return true;
  }

  bool Zlib(Span input, Span output, Step* step) {
    zlib_.next_in = input.data;
    zlib_.avail_in = static_cast<uInt>(input.length);
    zlib_.next_out = output.data;
    zlib_.avail_out = static_cast<uInt>(output.length);
    int result = inflate(&zlib_, Z_NO_FLUSH);
    step->consumed = input.length - zlib_.avail_in;
    step->produced = output.length - zlib_.avail_out;
    done_ = result == Z_STREAM_END;
    return done_ || result == Z_OK || result == Z_BUF_ERROR;
  }

  bool BeginBzip2() {
    workspace_.used = 0;
    bzip2_ = {};
    bzip2_.bzalloc = Bzip2Take;
    bzip2_.bzfree = Keep;
    bzip2_.opaque = &workspace_;
    return BZ2_bzDecompressInit(&bzip2_, 0, 0) == BZ_OK;
  }

  // Streams may follow each other; what is no stream behind the first is not looked at, as Cinder's reader has it.
  bool Bzip2(Span input, Span output, Step* step) {
    while (step->consumed < input.length || step->produced == 0) {
      if (between_) {
        if (step->consumed == input.length) return true;
        done_ = input.data[step->consumed] != 'B';
        if (done_) return true;
        if (!BeginBzip2()) return false;
        between_ = false;
      }
      bzip2_.next_in = reinterpret_cast<char*>(input.data) + step->consumed;
      bzip2_.avail_in = static_cast<unsigned>(input.length - step->consumed);
      bzip2_.next_out = reinterpret_cast<char*>(output.data) + step->produced;
      bzip2_.avail_out = static_cast<unsigned>(output.length - step->produced);
      int result = BZ2_bzDecompress(&bzip2_);
      step->consumed = input.length - bzip2_.avail_in;
      step->produced = output.length - bzip2_.avail_out;
      between_ = result == BZ_STREAM_END;
      if (!between_ && result != BZ_OK) return false;
      if (!between_) return true;
    }
    return true;
  }

  bool Zstd(Span input, Span output, Step* step) {
    ZSTD_inBuffer in{input.data, input.length, 0};
    ZSTD_outBuffer out{output.data, output.length, 0};
    size_t left = ZSTD_decompressStream(zstd_, &out, &in);
    step->consumed = in.pos;
    step->produced = out.pos;
    if (ZSTD_isError(left)) return false;
    done_ = left == 0;
    return true;
  }

  Workspace workspace_;
  basalt::Digest md5_;
  Kind kind_ = kRaw;
  z_stream zlib_{};
  bz_stream bzip2_{};
  ZSTD_DCtx* zstd_ = nullptr;
  bool ready_ = false, done_ = false, between_ = false;
};

using Shared = std::shared_ptr<Decoder>;

class StepWork : public basalt::Worker {
 public:
  StepWork(const Napi::CallbackInfo& info, Shared decoder) : Worker(info.Env()), decoder_(std::move(decoder)) {
    input_ = basalt::SpanOf(info[0]);
    output_ = basalt::SpanOf(info[1]);
    Keep(info.This().As<Napi::Object>());
    Keep(info[0].As<Napi::Object>());
    Keep(info[1].As<Napi::Object>());
  }

 protected:
  void Run() override { whole_ = decoder_->Run(input_, output_, &step_); }
  Napi::Value Value(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    result.Set("consumed", static_cast<double>(step_.consumed));
    result.Set("produced", static_cast<double>(step_.produced));
    result.Set("done", decoder_->done());
    result.Set("whole", whole_);
    return result;
  }

 private:
  Shared decoder_;
  Span input_, output_;
  Step step_;
  bool whole_ = false;
};

// The lent memory must outlive the decoder: the face holds it.
Napi::Value Open(const Napi::CallbackInfo& info) {
  auto decoder = std::make_shared<Decoder>(info[0].As<Napi::String>().Utf8Value(), basalt::SpanOf(info[1]));
  if (!decoder->ready()) throw Napi::Error::New(info.Env(), "openChunkDecoder: the lent memory is too small");
  Napi::Object face = Napi::Object::New(info.Env());
  face.Set("workspace", info[1]);
  face.Set("step", Napi::Function::New(info.Env(), [decoder](const Napi::CallbackInfo& info) {
             return (new StepWork(info, decoder))->Start();
           }));
  face.Set("md5", Napi::Function::New(info.Env(), [decoder](const Napi::CallbackInfo& info) -> Napi::Value {
             uint8_t digest[basalt::kMd5Bytes];
             if (!decoder->End(digest)) throw Napi::Error::New(info.Env(), "md5: it was asked for already");
             return Napi::Buffer<uint8_t>::Copy(info.Env(), digest, sizeof digest);
           }));
  return face;
}

// Bytes that the first frame of `head` demands of its reader; -1 where it is no frame.
Napi::Value ZstdDemand(const Napi::CallbackInfo& info) {
  Span head = basalt::SpanOf(info[0]);
  ZSTD_frameHeader frame;
  size_t result = ZSTD_getFrameHeader(&frame, head.data, head.length);
  if (result != 0 || frame.frameType != ZSTD_frame) return Napi::Number::New(info.Env(), -1);
  // A window of more than any machine has would not even be a size.
  double window = static_cast<double>(frame.windowSize);
  if (window > static_cast<double>(size_t{1} << kWindowLogMax)) return Napi::Number::New(info.Env(), window);
  return Napi::Number::New(info.Env(), static_cast<double>(ZSTD_estimateDStreamSize(static_cast<size_t>(frame.windowSize))));
}

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("openChunkDecoder", Napi::Function::New(env, Open));
  exports.Set("zstdDemand", Napi::Function::New(env, ZstdDemand));
});

}  // namespace
