// The addon's entry: hands out what every capability registered.
#include "capability.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  for (auto add : basalt::Capabilities()) add(env, exports);
  return exports;
}

NODE_API_MODULE(basalt_native, Init)
