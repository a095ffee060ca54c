// The table of what libfuse calls, each entry one line into FuseSession.
#pragma once
#include <fuse_lowlevel.h>

namespace basalt {

const fuse_lowlevel_ops& FuseOperations();

}  // namespace basalt
