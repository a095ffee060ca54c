// The write half of the data path: one call reads, hashes, looks up and compresses a whole segment.
#pragma once
#include <napi.h>

#include <memory>

#include "index.h"

namespace basalt {

Napi::Value StartSeal(const Napi::CallbackInfo& info, std::shared_ptr<Index> index);

}  // namespace basalt
