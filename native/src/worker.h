// Base of all work that may block: runs on a pool thread and settles a promise.
//
// Order and threads: constructor (main) -> Run (pool; no JavaScript) -> Value (main), or, after Fail, a rejection (main).
// JavaScript objects whose memory is used are kept alive by Keep until the promise settles.
//
// There are three lanes. Work that reads or writes a source or target waits for devices, and one of them may be our own view:
// it has threads of its own (device-pool.cc), so that the work that serves the view always finds one of the others. What reads a
// repository waits for its storage: it has threads of its own too, so that one that does not answer leaves Node's pool to the rest.
#pragma once
#include <napi.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace basalt {

struct Failure {
  std::string code;      // errno name, or a word of ours
  std::string syscall;   // what failed
  int number = 0;        // errno, 0 where it is not a system error
  double position = -1;  // byte position, where there is one
};

// The name of an errno ("ENOSPC"), from glibc's own table.
inline std::string ErrnoName(int number) {
  const char* name = strerrorname_np(number);
  return name ? name : "E" + std::to_string(number);
}

inline Napi::Error MakeError(Napi::Env env, const Failure& failure) {
  std::string text = failure.syscall + ": " + (failure.number ? strerror(failure.number) : failure.code.c_str());
  Napi::Error error = Napi::Error::New(env, text);
  error.Set("code", Napi::String::New(env, failure.code));
  error.Set("syscall", Napi::String::New(env, failure.syscall));
  error.Set("errno", Napi::Number::New(env, failure.number));
  if (failure.position >= 0) error.Set("position", Napi::Number::New(env, failure.position));
  return error;
}

enum class Lane { kCompute, kDevice, kStorage };

class Worker {
 public:
  // `device`: a number, of a descriptor or the like, of what the work waits for; -1: for nothing.
  explicit Worker(Napi::Env env, Lane lane = Lane::kCompute, int device = -1)
      : env_(env), lane_(lane), device_(device), waits_(device >= 0), deferred_(Napi::Promise::Deferred::New(env)) {}
  virtual ~Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Queues the work; the object deletes itself when the promise has settled.
  Napi::Value Start();

 protected:
  virtual void Run() = 0;
  virtual Napi::Value Value(Napi::Env env) = 0;

  void Fail(const std::string& syscall, int number, double position = -1) {
    failure_ = Failure{ErrnoName(number), syscall, number, position};
  }
  void FailWith(const std::string& code, const std::string& what) { failure_ = Failure{code, what, 0, -1}; }
  // Whether it waits for its device from here on, or only computes.
  void Waits(bool waits) {
    if (waits) WaitsFromNow();
    waits_ = waits;
  }
  bool failed() const { return failure_.has_value(); }
  // Keeps a JavaScript object (and so its memory) alive until the promise settles.
  void Keep(const Napi::Object& object) { kept_.push_back(Napi::Persistent(object)); }

 private:
  friend class DevicePool;
  void Execute() { Run(); }
  void WaitsFromNow() { waits_since_ = std::chrono::steady_clock::now().time_since_epoch().count(); }
  void Settle();

  Napi::Env env_;
  Lane lane_;
  int device_;
  std::atomic<bool> waits_;
  std::atomic<std::chrono::steady_clock::rep> waits_since_{0};
  napi_async_work work_ = nullptr;
  Napi::Promise::Deferred deferred_;
  std::optional<Failure> failure_;
  std::vector<Napi::ObjectReference> kept_;
};

// A view of a Uint8Array's memory. Valid while the array is kept.
struct Span {
  uint8_t* data = nullptr;
  size_t length = 0;
};

inline Span SpanOf(const Napi::Value& value) {
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return Span{array.Data(), array.ByteLength()};
}

// The field "fd" of a call's only argument.
inline int DescriptorOf(const Napi::CallbackInfo& info) {
  return info[0].As<Napi::Object>().Get("fd").As<Napi::Number>().Int32Value();
}

inline double NumberOf(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }

}  // namespace basalt
