// hashChunks: read ▷ zero? ▷ SHA-256 for every hash block of a segment, on one thread: of the device lane where it reads.
#include <unistd.h>

#include <algorithm>

#include "capability.h"
#include "digest.h"
#include "direct.h"
#include "hash.h"
#include "worker.h"

namespace {

using basalt::Span;

class HashChunksWork : public basalt::Worker {
 public:
  // Without a device to wait for it may serve the view, so it must not wait behind those who read the view.
  explicit HashChunksWork(const Napi::CallbackInfo& info) : Worker(info.Env(), LaneOf(info)) {
    Napi::Object parts = info[0].As<Napi::Object>();
    fd_ = parts.Get("fd").As<Napi::Number>().Int32Value();
    direct_ = parts.Get("directFd").As<Napi::Number>().Int32Value();
    position_ = static_cast<off_t>(basalt::NumberOf(parts.Get("position")));
    length_ = static_cast<size_t>(basalt::NumberOf(parts.Get("length")));
    block_ = static_cast<size_t>(basalt::NumberOf(parts.Get("blockBytes")));
    input_ = basalt::SpanOf(parts.Get("input"));
    hashes_ = basalt::SpanOf(parts.Get("hashes"));
    zeros_ = basalt::SpanOf(parts.Get("zeros"));
    size_t blocks = block_ == 0 ? 0 : (length_ + block_ - 1) / block_;
    if (block_ == 0 || length_ > input_.length || hashes_.length < blocks * basalt::kSha256Bytes || zeros_.length < blocks) {
      throw Napi::RangeError::New(info.Env(), "hashChunks: a buffer is too short");
    }
    Keep(parts);
  }

 protected:
  void Run() override {
    if (fd_ >= 0 && !ReadAll()) return;
    thread_local basalt::Digest digest(basalt::Sha256());
    size_t number = 0;
    for (size_t start = 0; start < length_; start += block_, number++) {
      // The last block of a volume is hashed at its real length.
      size_t length = std::min(block_, length_ - start);
      zeros_.data[number] = basalt::AllZero(input_.data + start, length) ? 1 : 0;
      if (!digest.Whole(input_.data + start, length, hashes_.data + number * basalt::kSha256Bytes)) {
        return FailWith("DIGEST", "OpenSSL has no SHA-256");
      }
    }
  }

  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }

 private:
  static basalt::Lane LaneOf(const Napi::CallbackInfo& info) {
    bool reads = basalt::NumberOf(info[0].As<Napi::Object>().Get("fd")) >= 0;
    return reads ? basalt::Lane::kDevice : basalt::Lane::kCompute;
  }

  bool ReadAll() {
    basalt::ReadEnd end = basalt::ReadAllPastCache(fd_, direct_, input_.data, length_, input_.length, position_);
    if (end.short_read) FailWith("SHORT_READ", "the source ends before the size that it had");
    if (end.number) Fail("pread", end.number, static_cast<double>(end.position));
    return end.whole();
  }

  int fd_, direct_;
  off_t position_;
  size_t length_, block_;
  Span input_, hashes_, zeros_;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("hashChunks", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new HashChunksWork(info))->Start();
              }));
});

}  // namespace
