// seal: read ▷ zero? ▷ hash ▷ known? ▷ compress, for all blocks of a segment, on one pool thread.
// Promises: claims are made only after the whole segment was read; each new block has an entry in `entries`.
#include "seal.h"

#include <unistd.h>
#include <zstd.h>

#include <algorithm>

#include "capability.h"
#include "compressor.h"
#include "direct.h"
#include "hash.h"
#include "worker.h"

namespace basalt {

namespace {

// Reads blocks of a source; what its last one lacks is zeros.
class ReadWork : public Worker {
 protected:
  explicit ReadWork(const Napi::CallbackInfo& info) : Worker(info.Env(), Lane::kDevice, DescriptorOf(info)) {
    Napi::Object parts = info[0].As<Napi::Object>();
    fd_ = parts.Get("fd").As<Napi::Number>().Int32Value();
    direct_ = parts.Get("directFd").As<Napi::Number>().Int32Value();
    position_ = static_cast<off_t>(NumberOf(parts.Get("position")));
    length_ = static_cast<size_t>(NumberOf(parts.Get("length")));
    block_ = static_cast<size_t>(NumberOf(parts.Get("blockBytes")));
    input_ = SpanOf(parts.Get("input"));
    addresses_ = SpanOf(parts.Get("addresses"));
    if (blocks() * block_ > input_.length || addresses_.length < blocks() * 32) {
      throw Napi::RangeError::New(info.Env(), "a buffer is too short");
    }
    Keep(parts);
  }

  size_t blocks() const { return (length_ + block_ - 1) / block_; }
  uint8_t* block(size_t number) const { return input_.data + number * block_; }
  uint8_t* address(size_t number) const { return addresses_.data + number * 32; }

  // False where it failed.
  bool ReadBlocks() {
    if (fd_ >= 0 && !ReadAll()) return false;
    Waits(false);
    std::memset(input_.data + length_, 0, blocks() * block_ - length_);
    return true;
  }

  size_t block_;
  Span input_;

 private:
  bool ReadAll() {
    ReadEnd end = ReadAllPastCache(fd_, direct_, input_.data, length_, input_.length, position_);
    if (end.short_read) FailWith("SHORT_READ", "the source ends before the size that it had");
    if (end.number) Fail("pread", end.number, static_cast<double>(end.position));
    return end.whole();
  }

  int fd_, direct_;
  off_t position_;
  size_t length_;
  Span addresses_;
};

class SealWork : public ReadWork {
 public:
  SealWork(const Napi::CallbackInfo& info, std::shared_ptr<Index> index) : ReadWork(info), index_(std::move(index)) {
    Napi::Object parts = info[0].As<Napi::Object>();
    level_ = parts.Get("level").As<Napi::Number>().Int32Value();
    output_ = SpanOf(parts.Get("output"));
    entries_ = SpanOf(parts.Get("entries"));
    claims_ = SpanOf(parts.Get("claims"));
    if (output_.length < input_.length || entries_.length < blocks() * sizeof(Entry) || claims_.length < 1) {
      throw Napi::RangeError::New(info.Env(), "seal: a buffer is too short");
    }
  }

 protected:
  void Run() override {
    if (!ReadBlocks()) return;
    Index::Reader reader(*index_);
    if (reader.status()) return FailWith("INDEX", mdb_strerror(reader.status()));
    // Whoever meets one of the claims has gone through the mutex that guards them, and so sees this too.
    __atomic_store_n(claims_.data, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < blocks(); i++) SealBlock(reader, block(i), address(i));
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Object counts = Napi::Object::New(env);
    counts.Set("zeroBlocks", zero_);
    counts.Set("knownBlocks", known_);
    counts.Set("newBlocks", new_);
    counts.Set("storedBytes", static_cast<double>(stored_));
    return counts;
  }

 private:
  void SealBlock(Index::Reader& reader, const uint8_t* block, uint8_t* address) {
    if (AllZero(block, block_)) {
      std::memset(address, 0, 32);
      zero_++;
      return;
    }
    Hash(block, block_, address);
    Location location;
    bool stored = reader.Find(address, &location) && !index_->Suspected(address);
    if (stored || !index_->Claim(address)) {
      known_++;
      return;
    }
    Entry entry{};
    std::memcpy(entry.address, address, 32);
    entry.offset = static_cast<uint32_t>(stored_);
    uint32_t encoding = kEncodingZstd;
    size_t size = Compress(block, output_.data + stored_);
    if (size == 0) {
      encoding = kEncodingRaw;
      size = block_;
      std::memcpy(output_.data + stored_, block, block_);
    }
    entry.stored = static_cast<uint32_t>(size);
    entry.raw_and_encoding = Pack(static_cast<uint32_t>(block_), encoding);
    std::memcpy(entries_.data + new_ * sizeof(Entry), &entry, sizeof entry);
    stored_ += size;
    new_++;
  }

  // Bytes written, or 0 where compression does not save a sixteenth: then raw costs less at every later read.
  size_t Compress(const uint8_t* block, uint8_t* output) {
    ZSTD_CCtx* context = Compressor();
    if (level_ == 0 || !context) return 0;
    size_t size = ZSTD_compressCCtx(context, output, block_ - block_ / 16, block, block_, level_);
    return ZSTD_isError(size) ? 0 : size;
  }

  std::shared_ptr<Index> index_;
  int level_;
  Span output_, entries_, claims_;
  size_t stored_ = 0;
  uint32_t zero_ = 0, known_ = 0, new_ = 0;
};

// Addresses of blocks, with no index beside: to compare what is there with what a map says.
class AddressWork : public ReadWork {
 public:
  explicit AddressWork(const Napi::CallbackInfo& info) : ReadWork(info) {}

 protected:
  void Run() override {
    if (!ReadBlocks()) return;
    for (size_t i = 0; i < blocks(); i++) {
      if (AllZero(block(i), block_)) {
        std::memset(address(i), 0, 32);
      } else {
        Hash(block(i), block_, address(i));
      }
    }
  }
  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }
};

Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("addresses", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new AddressWork(info))->Start();
              }));
});

}  // namespace

Napi::Value StartSeal(const Napi::CallbackInfo& info, std::shared_ptr<Index> index) {
  return (new SealWork(info, std::move(index)))->Start();
}

}  // namespace basalt
