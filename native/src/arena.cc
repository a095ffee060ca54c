// Regions of the arena: page-aligned memory outside V8's heap, and outside malloc's, so that what is lent is what is resident.
// What nobody has written to takes no memory.
#include <sys/mman.h>

#include "capability.h"
#include "worker.h"

namespace {

Napi::Value AllocateArena(const Napi::CallbackInfo& info) {
  size_t bytes = static_cast<size_t>(basalt::NumberOf(info[0]));
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw basalt::MakeError(info.Env(), basalt::Failure{basalt::ErrnoName(errno), "mmap", errno, -1});
  }
  return Napi::ArrayBuffer::New(info.Env(), memory, bytes,
                                [](Napi::Env, void* data, size_t* size) {
                                  munmap(data, *size);
                                  delete size;
                                },
                                new size_t(bytes));
}

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("allocateArena", Napi::Function::New(env, AllocateArena));
});

}  // namespace
