// Threads for work that waits for devices. Promises: work begins in the order in which it came; the process is kept alive
// only while there is work. The threads live as long as the process: they hold nothing that must be given back.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>

#include "worker.h"

namespace basalt {

class DevicePool {
 public:
  static DevicePool& Of(Napi::Env env);
  // Main thread only.
  void Post(Worker* worker);
  // An ioprio value (class << 13 | level), 0 for none; each thread takes it up before its next work.
  static void SetPriority(int priority);

 private:
  explicit DevicePool(Napi::Env env);
  void Work();
  static void Settled(napi_env env, napi_value callback, void* context, void* data);

  napi_env env_;
  napi_threadsafe_function settled_ = nullptr;
  size_t under_way_ = 0;  // main thread only
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Worker*> queue_;
};

}  // namespace basalt
