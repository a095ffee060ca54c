// writeAt: puts bytes into a file of a storage: whole pages past the page cache, where they may, and what is left through it.
//
// What goes through the page cache costs a copy, memory that others had in use, and another thread of the kernel that writes it later.
#include <algorithm>

#include "capability.h"
#include "direct.h"
#include "worker.h"

namespace {

class WriteAtWork : public basalt::Worker {
 public:
  explicit WriteAtWork(const Napi::CallbackInfo& info) : Worker(info.Env()), bytes_(basalt::SpanOf(info[3])) {
    fd_ = info[0].As<Napi::Number>().Int32Value();
    direct_ = info[1].As<Napi::Number>().Int32Value();
    position_ = static_cast<off_t>(basalt::NumberOf(info[2]));
    Keep(info[3].As<Napi::Object>());
  }

 protected:
  void Run() override {
    for (size_t done = 0; done < bytes_.length;) {
      size_t length = bytes_.length - done, whole = length - length % basalt::kDirectAlign;
      off_t position = position_ + static_cast<off_t>(done);
      ssize_t count = basalt::WritePastCache(fd_, direct_, bytes_.data + done, whole > 0 ? whole : length, position);
      if (count > 0) {
        done += static_cast<size_t>(count);
      } else if (count == 0 || errno != EINTR) {
        return Fail("pwrite", count == 0 ? ENOSPC : errno, static_cast<double>(position));
      }
    }
  }
  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }

 private:
  basalt::Span bytes_;
  int fd_, direct_;
  off_t position_;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("writeAt", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new WriteAtWork(info))->Start();
              }));
});

}  // namespace
