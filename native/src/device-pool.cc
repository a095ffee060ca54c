// The lanes of worker.h: Node's own pool for what computes, threads of ours for what waits.
#include "device-pool.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "capability.h"

namespace basalt {

static std::atomic<int> wanted_priority{0};
constexpr int kWhoProcess = 1;  // IOPRIO_WHO_PROCESS; 0 is the calling thread

void DevicePool::SetPriority(int priority) { wanted_priority = priority; }

// A processor has enough to do with two: while one waits for its device the other computes. This is also what one device gets.
static unsigned ThreadCount() {
  static const unsigned count = std::clamp(std::thread::hardware_concurrency() * 2, 4u, 32u);
  return count;
}
// With so many threads in their devices, those that come next wait after all.
constexpr unsigned kThreadsMax = 512;
// Work that waits for its device longer than this counts as hanging; looked at so often while other work waits.
constexpr auto kHangs = std::chrono::milliseconds(200);
constexpr auto kLookEvery = std::chrono::milliseconds(50);

DevicePool& DevicePool::Of(Napi::Env env, Lane lane) {
  static DevicePool* devices = new DevicePool(env, true);
  static DevicePool* storages = new DevicePool(env, false);
  return lane == Lane::kStorage ? *storages : *devices;
}

DevicePool::DevicePool(Napi::Env env, bool prioritized) : env_(env), prioritized_(prioritized) {
  Napi::String name = Napi::String::New(env, "basalt device pool");
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, &DevicePool::Settled, &settled_);
  napi_unref_threadsafe_function(env, settled_);
  threads_ = ThreadCount();
  for (unsigned i = 0; i < threads_; i++) std::thread(&DevicePool::Work, this).detach();
  std::thread(&DevicePool::Watch, this).detach();
}

void DevicePool::Post(Worker* worker) {
  if (under_way_++ == 0) napi_ref_threadsafe_function(env_, settled_);
  std::lock_guard lock(mutex_);
  Device& device = devices_[worker->device_];
  if (device.queue.empty()) turns_.push_back(worker->device_);
  device.queue.push_back(worker);
  wake_.notify_one();
  watch_.notify_one();
}

// The next work that may run now; nullptr where there is none.
Worker* DevicePool::Take(int* number) {
  if (running_.size() - hanging_ >= ThreadCount()) return nullptr;
  for (auto turn = turns_.begin(); turn != turns_.end(); ++turn) {
    Device& device = devices_[*turn];
    if (device.running >= ThreadCount()) continue;
    *number = *turn;
    Worker* worker = device.queue.front();
    device.queue.pop_front();
    turns_.erase(turn);
    if (!device.queue.empty()) turns_.push_back(*number);
    return worker;
  }
  return nullptr;
}

void DevicePool::Begin(Worker* worker, int device, std::list<Running>::iterator* place) {
  devices_[device].running++;
  running_.push_back(Running{worker, device, false});
  worker->WaitsFromNow();
  *place = std::prev(running_.end());
}

void DevicePool::End(std::list<Running>::iterator place) {
  if (place->hangs) hanging_--;
  auto device = devices_.find(place->device);
  if (--device->second.running == 0 && device->second.queue.empty()) devices_.erase(device);
  running_.erase(place);
}

void DevicePool::Work() {
  int priority = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    int device = -1;
    Worker* worker = Take(&device);
    if (!worker) {
      // Those that stood in for hanging ones go when nothing is left for them.
      if (threads_ - hanging_ > ThreadCount()) break;
      wake_.wait(lock);
      continue;
    }
    std::list<Running>::iterator place;
    Begin(worker, device, &place);
    lock.unlock();
    if (int wanted = wanted_priority; prioritized_ && wanted != priority) {
      syscall(SYS_ioprio_set, kWhoProcess, 0, wanted);
      priority = wanted;
    }
    worker->Execute();
    lock.lock();
    End(place);
    // What waited for this device, or for a place, may run on more threads than this one.
    if (!turns_.empty()) wake_.notify_one();
    napi_call_threadsafe_function(settled_, worker, napi_tsfn_nonblocking);
  }
  threads_--;
}

// True where work has been found to hang that did not before.
bool DevicePool::FindHanging() {
  bool found = false;
  for (Running& running : running_) {
    Clock::time_point since{Clock::duration{running.worker->waits_since_}};
    if (running.hangs || !running.worker->waits_ || Clock::now() - since < kHangs) continue;
    running.hangs = found = true;
    hanging_++;
  }
  return found;
}

void DevicePool::WakeOrAdd() {
  wake_.notify_all();
  while (threads_ - hanging_ < ThreadCount() && threads_ < kThreadsMax) {
    threads_++;
    std::thread(&DevicePool::Work, this).detach();
  }
}

void DevicePool::Watch() {
  std::unique_lock lock(mutex_);
  for (;;) {
    watch_.wait(lock, [this] { return !turns_.empty(); });
    if (FindHanging()) WakeOrAdd();
    watch_.wait_for(lock, kLookEvery, [] { return false; });
  }
}

void DevicePool::Settled(napi_env env, napi_value, void* context, void* data) {
  if (env == nullptr) return;  // The process ends: nobody is left to be told.
  auto* pool = static_cast<DevicePool*>(context);
  if (--pool->under_way_ == 0) napi_unref_threadsafe_function(env, pool->settled_);
  auto* worker = static_cast<Worker*>(data);
  worker->Settle();
  delete worker;
}

Napi::Value Worker::Start() {
  Napi::Promise promise = deferred_.Promise();
  if (lane_ != Lane::kCompute) {
    DevicePool::Of(env_, lane_).Post(this);
    return promise;
  }
  Napi::String name = Napi::String::New(env_, "basalt");
  auto run = [](napi_env, void* data) { static_cast<Worker*>(data)->Execute(); };
  auto done = [](napi_env env, napi_status, void* data) {
    auto* worker = static_cast<Worker*>(data);
    napi_delete_async_work(env, worker->work_);
    worker->Settle();
    delete worker;
  };
  if (napi_create_async_work(env_, nullptr, name, run, done, this, &work_) != napi_ok ||
      napi_queue_async_work(env_, work_) != napi_ok) {
    FailWith("EAGAIN", "no thread takes the work");
    Settle();
    delete this;
  }
  return promise;
}

void Worker::Settle() {
  Napi::HandleScope scope(env_);
  if (failure_) {
    deferred_.Reject(MakeError(env_, *failure_).Value());
  } else {
    deferred_.Resolve(Value(env_));
  }
}

}  // namespace basalt

static basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("setDevicePriority", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                // Classes of ioprio_set(2): 2 is best-effort with levels 0 (first) to 7 (last), 3 is idle.
                std::string name = info[0].As<Napi::String>().Utf8Value();
                int level = name == "high" ? 0 : name == "low" ? 7 : 4;
                int priority = name == "idle" ? 3 << 13 : 2 << 13 | level;
                basalt::DevicePool::SetPriority(name == "none" ? 0 : priority);
              }));
});
