// The read half of the data path: one call looks up, reads, decompresses and verifies the blocks of a whole segment.
#pragma once
#include <napi.h>

#include <memory>

#include "index.h"
#include "pack-files.h"

namespace basalt {

Napi::Value StartFetch(const Napi::CallbackInfo& info, std::shared_ptr<Index> index, std::shared_ptr<PackFiles> packs);

}  // namespace basalt
