// Threads for work that waits for devices, and as many others for work that waits for storages: see worker.h.
//
// Promises: devices take turns, and the work of one begins in the order in which it came; work that hangs in its device does not
// keep the work of others from running: it does not count as running, and threads are added in its place, up to kThreadsMax; the
// process is kept alive only while there is work. The threads hold nothing that must be given back.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>

#include "worker.h"

namespace basalt {

class DevicePool {
 public:
  static DevicePool& Of(Napi::Env env, Lane lane);
  // Main thread only.
  void Post(Worker* worker);
  // An ioprio value (class << 13 | level), 0 for none; each thread that serves devices takes it up before its next work.
  static void SetPriority(int priority);

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    Worker* worker;
    int device;
    bool hangs;
  };
  struct Device {
    std::deque<Worker*> queue;
    unsigned running = 0;
  };

  DevicePool(Napi::Env env, bool prioritized);
  void Work();
  void Watch();
  // All below: with the mutex held.
  Worker* Take(int* device);
  void Begin(Worker* worker, int device, std::list<Running>::iterator* place);
  void End(std::list<Running>::iterator place);
  bool FindHanging();
  void WakeOrAdd();
  static void Settled(napi_env env, napi_value callback, void* context, void* data);

  napi_env env_;
  bool prioritized_;
  napi_threadsafe_function settled_ = nullptr;
  size_t under_way_ = 0;  // main thread only
  std::mutex mutex_;
  std::condition_variable wake_, watch_;
  std::map<int, Device> devices_;
  std::deque<int> turns_;  // devices with work that waits, the next one first
  std::list<Running> running_;
  unsigned threads_ = 0, hanging_ = 0;
};

}  // namespace basalt
