// openChunkEncoder: what must go through an object in order: its MD5, and the one stream that its pieces become.
// Calls of one encoder come one after the other; the caller sees to that.
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "capability.h"
#include "digest.h"
#include "worker.h"

namespace {

using basalt::Span;

constexpr int kZstdLevel = 3;
constexpr int kWindowLogMin = 17;
constexpr int kWindowLogMax = 21;  // what level 3 takes for large inputs
// Magic, descriptor, window: what zstd writes where it is told no size.
constexpr size_t kZstdHeadBytes = 6;

struct Encoder {
  basalt::Digest md5{basalt::Md5()};
  bool begun = md5.Begin();
  uint32_t adler = adler32(0, nullptr, 0);
  // bz2: bits that do not fill a byte yet, and the CRC of all blocks so far.
  uint8_t carry = 0;
  unsigned carried = 0;
  uint32_t combined = 0;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> zstd{nullptr, &ZSTD_freeCCtx};
  uint8_t head[kZstdHeadBytes] = {};
  size_t head_bytes = 0;

  // Appends `bits` bits of `source`, from bit `from` on, to `output`; whole bytes go out. `output` may be `source` further ahead.
  size_t Join(const uint8_t* source, size_t from, size_t bits, uint8_t* output) {
    size_t produced = 0;
    unsigned window = carry;
    for (size_t end = from + bits; from < end;) {
      // As many bits as the byte of the source still has.
      unsigned take = static_cast<unsigned>(std::min<size_t>(8 - from % 8, end - from));
      unsigned value = source[from / 8] >> (8 - from % 8 - take) & ((1u << take) - 1);
      window = window << take | value;
      carried += take;
      from += take;
      if (carried >= 8) {
        carried -= 8;
        output[produced++] = static_cast<uint8_t>(window >> carried);
        window &= (1u << carried) - 1;
      }
    }
    carry = static_cast<uint8_t>(window);
    return produced;
  }
};

using Shared = std::shared_ptr<Encoder>;

class DigestWork : public basalt::Worker {
 public:
  DigestWork(const Napi::CallbackInfo& info, Shared encoder) : Worker(info.Env()), encoder_(std::move(encoder)) {
    bytes_ = basalt::SpanOf(info[0]);
    Keep(info[0].As<Napi::Object>());
  }

 protected:
  void Run() override {
    if (!encoder_->begun || !encoder_->md5.Add(bytes_.data, bytes_.length)) return FailWith("DIGEST", "OpenSSL has no MD5");
    encoder_->adler = adler32(encoder_->adler, bytes_.data, static_cast<uInt>(bytes_.length));
  }
  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }

 private:
  Shared encoder_;
  Span bytes_;
};

class CompressWork : public basalt::Worker {
 public:
  CompressWork(const Napi::CallbackInfo& info, Shared encoder) : Worker(info.Env()), encoder_(std::move(encoder)) {
    Napi::Object parts = info[0].As<Napi::Object>();
    input_ = basalt::SpanOf(parts.Get("input"));
    output_ = basalt::SpanOf(parts.Get("output"));
    end_ = parts.Get("end").As<Napi::Boolean>().Value();
    size_max_ = basalt::NumberOf(parts.Get("sizeMax"));
    Keep(parts);
  }

 protected:
  void Run() override {
    ZSTD_CCtx* context = Context();
    if (!context) return FailWith("ZSTD", "zstd does not start");
    ZSTD_inBuffer in{input_.data, input_.length, 0};
    ZSTD_outBuffer out{output_.data, output_.length, 0};
    size_t left = 0;
    do {
      left = ZSTD_compressStream2(context, &out, &in, end_ ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left)) return FailWith("ZSTD", ZSTD_getErrorName(left));
    } while (out.pos < out.size && (in.pos < in.size || (end_ && left > 0)));
    consumed_ = in.pos;
    done_ = in.pos == in.size && (!end_ || left == 0);
    TakeHead(&out);
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Object result = Napi::Object::New(env);
    result.Set("consumed", static_cast<double>(consumed_));
    result.Set("produced", static_cast<double>(produced_));
    result.Set("done", done_);
    return result;
  }

 private:
  ZSTD_CCtx* Context() {
    auto& zstd = encoder_->zstd;
    if (zstd) return zstd.get();
    zstd.reset(ZSTD_createCCtx());
    if (!zstd) return nullptr;
    ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_contentSizeFlag, 0);
    // A window larger than the object only costs memory.
    int window_log = kWindowLogMin;
    while (window_log < kWindowLogMax && (1 << window_log) < size_max_) window_log++;
    ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_windowLog, window_log);
    return zstd.get();
  }

  // The head goes to memory: the file gets one that tells the size, which only the end of the object knows.
  void TakeHead(ZSTD_outBuffer* out) {
    size_t take = std::min(kZstdHeadBytes - encoder_->head_bytes, out->pos);
    std::memcpy(encoder_->head + encoder_->head_bytes, output_.data, take);
    encoder_->head_bytes += take;
    produced_ = out->pos - take;
    if (take > 0) std::memmove(output_.data, output_.data + take, produced_);
  }

  Shared encoder_;
  Span input_, output_;
  bool end_, done_ = false;
  double size_max_;
  size_t consumed_ = 0, produced_ = 0;
};

class JoinWork : public basalt::Worker {
 public:
  JoinWork(const Napi::CallbackInfo& info, Shared encoder) : Worker(info.Env()), encoder_(std::move(encoder)) {
    bytes_ = basalt::SpanOf(info[0]);
    auto blocks = info[1].As<Napi::Uint32Array>();
    blocks_.assign(blocks.Data(), blocks.Data() + blocks.ElementLength());
    for (size_t i = 0; i + 2 < blocks_.size(); i += 3) {
      if ((uint64_t{blocks_[i]} + blocks_[i + 1] + 7) / 8 > bytes_.length) {
        throw Napi::RangeError::New(info.Env(), "join: a block is outside");
      }
    }
    Keep(info[0].As<Napi::Object>());
  }

 protected:
  void Run() override {
    for (size_t i = 0; i + 2 < blocks_.size(); i += 3) {
      produced_ += encoder_->Join(bytes_.data, blocks_[i], blocks_[i + 1], bytes_.data + produced_);
      encoder_->combined = (encoder_->combined << 1 | encoder_->combined >> 31) ^ blocks_[i + 2];
    }
  }
  Napi::Value Value(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(produced_)); }

 private:
  Shared encoder_;
  Span bytes_;
  std::vector<uint32_t> blocks_;
  size_t produced_ = 0;
};

Napi::Buffer<uint8_t> Bytes(Napi::Env env, std::initializer_list<uint8_t> bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, bytes.begin(), bytes.size());
}

uint8_t ByteOf(uint64_t value, int number) { return static_cast<uint8_t>(value >> (8 * number)); }

// The bytes behind the last piece: an empty last block and the check; the end of a bz2 stream; nothing for zstd.
Napi::Value Tail(const Napi::CallbackInfo& info, Encoder& encoder) {
  std::string algorithm = info[0].As<Napi::String>().Utf8Value();
  if (algorithm == "zlib") {
    uint32_t adler = encoder.adler;
    return Bytes(info.Env(), {3, 0, ByteOf(adler, 3), ByteOf(adler, 2), ByteOf(adler, 1), ByteOf(adler, 0)});
  }
  uint8_t source[11] = {0x17, 0x72, 0x45, 0x38, 0x50, 0x90};
  for (int i = 0; i < 4; i++) source[6 + i] = ByteOf(encoder.combined, 3 - i);
  uint8_t output[12];
  size_t produced = encoder.Join(source, 0, 80, output);
  if (encoder.carried > 0) produced += encoder.Join(source, 80, 8 - encoder.carried, output + produced);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), output, produced);
}

// The head of one frame that tells the size of its content in 8 bytes.
Napi::Value ZstdHead(const Napi::CallbackInfo& info, const Encoder& encoder) {
  auto size = static_cast<uint64_t>(basalt::NumberOf(info[0]));
  const uint8_t* head = encoder.head;
  constexpr uint8_t kSizeOf8Bytes = 0xC0;
  return Bytes(info.Env(), {head[0], head[1], head[2], head[3], kSizeOf8Bytes, head[5], ByteOf(size, 0), ByteOf(size, 1),
                            ByteOf(size, 2), ByteOf(size, 3), ByteOf(size, 4), ByteOf(size, 5), ByteOf(size, 6),
                            ByteOf(size, 7)});
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  auto encoder = std::make_shared<Encoder>();
  Napi::Object face = Napi::Object::New(info.Env());
  auto set = [&](const char* name, auto action) { face.Set(name, Napi::Function::New(info.Env(), action)); };
  set("digest", [encoder](const Napi::CallbackInfo& info) { return (new DigestWork(info, encoder))->Start(); });
  set("compress", [encoder](const Napi::CallbackInfo& info) { return (new CompressWork(info, encoder))->Start(); });
  set("join", [encoder](const Napi::CallbackInfo& info) { return (new JoinWork(info, encoder))->Start(); });
  set("tail", [encoder](const Napi::CallbackInfo& info) { return Tail(info, *encoder); });
  set("zstdHead", [encoder](const Napi::CallbackInfo& info) { return ZstdHead(info, *encoder); });
  set("md5", [encoder](const Napi::CallbackInfo& info) -> Napi::Value {
    uint8_t digest[basalt::kMd5Bytes];
    if (!encoder->begun || !encoder->md5.End(digest)) throw Napi::Error::New(info.Env(), "OpenSSL has no MD5");
    encoder->begun = false;
    return Napi::Buffer<uint8_t>::Copy(info.Env(), digest, sizeof digest);
  });
  return face;
}

basalt::Capability capability(
    [](Napi::Env env, Napi::Object exports) { exports.Set("openChunkEncoder", Napi::Function::New(env, Open)); });

}  // namespace
