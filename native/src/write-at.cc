// writeAt: puts bytes into a file of a storage: whole pages past the page cache, where they may, and what is left through it.
//
// What goes through the page cache costs a copy, memory that others had in use, and another thread of the kernel that writes it later.
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
    size_t whole = bytes_.length - bytes_.length % basalt::kDirectAlign;
    if (Write(0, whole)) Write(whole, bytes_.length);
  }
  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }

 private:
  bool Write(size_t from, size_t to) {
    off_t position = position_ + static_cast<off_t>(from);
    basalt::WriteEnd end = basalt::WriteAllPastCache(fd_, direct_, bytes_.data + from, to - from, position);
    if (end.number) Fail("pwrite", end.number, static_cast<double>(end.position));
    return end.number == 0;
  }

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
