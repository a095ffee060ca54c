// How a capability gets into the addon: one line in its own file, none elsewhere.
//   static basalt::Capability capability([](Napi::Env env, Napi::Object exports) { … });
#pragma once
#include <napi.h>

#include <vector>

namespace basalt {

using Register = void (*)(Napi::Env, Napi::Object);

inline std::vector<Register>& Capabilities() {
  static std::vector<Register> all;
  return all;
}

struct Capability {
  explicit Capability(Register function) { Capabilities().push_back(function); }
};

}  // namespace basalt
