// write: puts one segment on a target: runs of data by pwrite, zeros as the caller says, and, where asked, only what differs.
#include <fcntl.h>
#include <unistd.h>

#include "capability.h"
#include "direct.h"
#include "hash.h"
#include "holes.h"
#include "worker.h"

namespace {

using basalt::Span;

enum class Zeros { kSkip, kPunch, kWrite };
enum class Action { kNone, kWrite, kPunch, kUnchanged };

class WriteWork : public basalt::Worker {
 public:
  explicit WriteWork(const Napi::CallbackInfo& info) : Worker(info.Env(), basalt::Lane::kDevice, basalt::DescriptorOf(info)) {
    Napi::Object parts = info[0].As<Napi::Object>();
    fd_ = parts.Get("fd").As<Napi::Number>().Int32Value();
    direct_ = parts.Get("directFd").As<Napi::Number>().Int32Value();
    position_ = static_cast<off_t>(basalt::NumberOf(parts.Get("position")));
    block_ = static_cast<size_t>(basalt::NumberOf(parts.Get("blockBytes")));
    data_ = basalt::SpanOf(parts.Get("data"));
    std::string zeros = parts.Get("zeros").As<Napi::String>().Utf8Value();
    zeros_ = zeros == "skip" ? Zeros::kSkip : zeros == "punch" ? Zeros::kPunch : Zeros::kWrite;
    if (parts.Get("compare").IsTypedArray()) compare_ = basalt::SpanOf(parts.Get("compare"));
    if (compare_.data && compare_.length < data_.length) {
      throw Napi::RangeError::New(info.Env(), "write: compare is too short");
    }
    Keep(parts);
  }

 protected:
  void Run() override {
    if (compare_.data && !ReadTarget()) return;
    // Neighbours with the same action are one run: large, aligned writes.
    size_t start = 0;
    while (start < data_.length && !failed()) {
      Action action = ActionFor(start);
      size_t end = start + BlockAt(start);
      while (end < data_.length && ActionFor(end) == action) end += BlockAt(end);
      Apply(action, start, end - start);
      start = end;
    }
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Object counts = Napi::Object::New(env);
    counts.Set("writtenBytes", static_cast<double>(written_));
    counts.Set("zeroedBytes", static_cast<double>(zeroed_));
    counts.Set("unchangedBytes", static_cast<double>(unchanged_));
    return counts;
  }

 private:
  size_t BlockAt(size_t start) const { return std::min(block_, data_.length - start); }

  Action ActionFor(size_t start) const {
    size_t length = BlockAt(start);
    if (compare_.data && std::memcmp(data_.data + start, compare_.data + start, length) == 0) return Action::kUnchanged;
    if (zeros_ == Zeros::kWrite || !basalt::AllZero(data_.data + start, length)) return Action::kWrite;
    return zeros_ == Zeros::kPunch ? Action::kPunch : Action::kNone;
  }

  void Apply(Action action, size_t start, size_t length) {
    switch (action) {
      case Action::kUnchanged:
        unchanged_ += length;
        return;
      case Action::kNone:
        zeroed_ += length;
        return;
      case Action::kPunch:
        // Where no hole can be made, the data itself is zeros: write it.
        if (basalt::MakeZero(fd_, position_ + static_cast<off_t>(start), static_cast<off_t>(length)) != nullptr ||
            WriteAll(start, length)) {
          zeroed_ += length;
        }
        return;
      case Action::kWrite:
        if (WriteAll(start, length)) written_ += length;
        return;
    }
  }

  bool WriteAll(size_t start, size_t length) {
    basalt::WriteEnd end = basalt::WriteAllPastCache(fd_, direct_, data_.data + start, length, position_ + static_cast<off_t>(start));
    if (end.number) Fail("pwrite", end.number, static_cast<double>(end.position));
    return end.number == 0;
  }

  bool ReadTarget() {
    basalt::ReadEnd end =
        basalt::ReadAllPastCache(fd_, direct_, compare_.data, data_.length, compare_.length, position_);
    if (!end.whole()) Fail("pread", end.short_read ? ENODATA : end.number, static_cast<double>(end.position));
    return end.whole();
  }

  int fd_, direct_;
  off_t position_;
  size_t block_;
  Zeros zeros_;
  Span data_, compare_;
  size_t written_ = 0, zeroed_ = 0, unchanged_ = 0;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("write", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new WriteWork(info))->Start();
              }));
});

}  // namespace
