// packChunk: compresses a piece of an object by itself, so that several processors work on one object. What comes out is joined
// to one zlib or bz2 stream: raw deflate that ends at a byte, or single bz2 blocks whose bits are told.
//
// Sources: RFC 1951 (an empty stored block ends at a byte); bzip2 1.0.8, where a stream is "BZh9", blocks of bits that begin with
// 0x314159265359 and their CRC, 0x177245385090, the combined CRC, and padding.
#include <bzlib.h>
#include <zlib.h>

#include <algorithm>

#include "capability.h"
#include "worker.h"

namespace {

using basalt::Span;

// Run-length coding makes at most 5 bytes of 4: such a step always fits in one bz2 block of kBz2Level * 100 000 bytes.
constexpr size_t kStepBytes = 512 * 1024;
constexpr int kBz2Level = 7;
static_assert(kStepBytes / 4 * 5 <= kBz2Level * 100000 - 19);
constexpr int kZlibLevel = 6;

constexpr size_t kBz2HeadBits = 32;
constexpr size_t kBz2TailBits = 80;
constexpr uint64_t kBz2TailMagic = 0x177245385090;

uint64_t BitsAt(const uint8_t* data, size_t bit, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; i++, bit++) value = value << 1 | (data[bit / 8] >> (7 - bit % 8) & 1);
  return value;
}

struct Deflater {
  z_stream stream{};
  bool ready = deflateInit2(&stream, kZlibLevel, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  ~Deflater() {
    if (ready) deflateEnd(&stream);
  }
};

class PackWork : public basalt::Worker {
 public:
  explicit PackWork(const Napi::CallbackInfo& info) : Worker(info.Env()) {
    Napi::Object parts = info[0].As<Napi::Object>();
    bz2_ = parts.Get("algorithm").As<Napi::String>().Utf8Value() == "bz2";
    input_ = basalt::SpanOf(parts.Get("input"));
    output_ = basalt::SpanOf(parts.Get("output"));
    Keep(parts);
  }

 protected:
  void Run() override {
    while (consumed_ < input_.length && !failed()) {
      size_t length = std::min(kStepBytes, input_.length - consumed_);
      if (!(bz2_ ? PackBz2(length) : PackZlib(length))) break;  // The rest comes with the next call.
      consumed_ += length;
    }
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    result.Set("consumed", static_cast<double>(consumed_));
    result.Set("produced", static_cast<double>(produced_));
    auto blocks = Napi::Uint32Array::New(env, blocks_.size());
    std::copy(blocks_.begin(), blocks_.end(), blocks.Data());
    result.Set("blocks", blocks);
    return result;
  }

 private:
  bool PackZlib(size_t length) {
    thread_local Deflater deflater;
    z_stream& stream = deflater.stream;
    if (!deflater.ready || deflateReset(&stream) != Z_OK) {
      FailWith("ZLIB", "zlib does not start");
      return false;
    }
    stream.next_in = input_.data + consumed_;
    stream.avail_in = static_cast<uInt>(length);
    stream.next_out = output_.data + produced_;
    stream.avail_out = static_cast<uInt>(output_.length - produced_);
    size_t room = stream.avail_out;
    int status = deflate(&stream, Z_SYNC_FLUSH);
    // A flush is complete only where there is room left.
    if (status != Z_OK || stream.avail_in != 0 || stream.avail_out == 0) return false;
    produced_ += room - stream.avail_out;
    return true;
  }

  bool PackBz2(size_t length) {
    uint8_t* output = output_.data + produced_;
    unsigned size = static_cast<unsigned>(output_.length - produced_);
    int status = BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(output), &size,
                                          reinterpret_cast<char*>(input_.data + consumed_), static_cast<unsigned>(length),
                                          kBz2Level, 0, 0);
    if (status == BZ_OUTBUFF_FULL) return false;
    if (status != BZ_OK) {
      FailWith("BZ2", "bz2 does not compress");
      return false;
    }
    uint32_t crc = static_cast<uint32_t>(BitsAt(output, kBz2HeadBits + 48, 32));
    // The stream of one block ends with the magic, the CRC of that block, and up to 7 bits of padding.
    for (size_t padding = 0; padding < 8; padding++) {
      size_t tail = size_t{size} * 8 - padding - kBz2TailBits;
      if (BitsAt(output, tail, 48) != kBz2TailMagic || BitsAt(output, tail + 48, 32) != crc) continue;
      blocks_.push_back(static_cast<uint32_t>(produced_ * 8 + kBz2HeadBits));
      blocks_.push_back(static_cast<uint32_t>(tail - kBz2HeadBits));
      blocks_.push_back(crc);
      produced_ += size;
      return true;
    }
    FailWith("BZ2", "bz2 made more than one block");
    return false;
  }

  bool bz2_;
  Span input_, output_;
  size_t consumed_ = 0, produced_ = 0;
  std::vector<uint32_t> blocks_;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("packChunk", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new PackWork(info))->Start();
              }));
});

}  // namespace
