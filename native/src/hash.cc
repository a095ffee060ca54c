// hash, hashImplementation: digests of small things, at once on the calling thread.
#include "hash.h"

#include "capability.h"
#include "worker.h"

namespace {

Napi::Value HashBytes(const Napi::CallbackInfo& info) {
  basalt::Span bytes = basalt::SpanOf(info[0]);
  auto digest = Napi::Buffer<uint8_t>::New(info.Env(), basalt::kDigestBytes);
  basalt::Hash(bytes.data, bytes.length, digest.Data());
  return digest;
}

Napi::Value HashImplementation(const Napi::CallbackInfo& info) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vl")) return Napi::String::New(info.Env(), "avx512");
  if (__builtin_cpu_supports("avx2")) return Napi::String::New(info.Env(), "avx2");
  return Napi::String::New(info.Env(), "sse");
#else
  return Napi::String::New(info.Env(), "portable");
#endif
}

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("hash", Napi::Function::New(env, HashBytes));
  exports.Set("hashImplementation", Napi::Function::New(env, HashImplementation));
});

}  // namespace
