// releaseMapped, and how little malloc may keep for each thread.
#include "mapped.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cinttypes>
#include <cstdio>

#include "capability.h"
#include "worker.h"

namespace basalt {

constexpr size_t kSmallBytes = 1 << 20;

Mapping FindMapping(const std::string& path) {
  Mapping mapping;
  // The kernel shows files by their real names.
  char real[PATH_MAX];
  if (!realpath(path.c_str(), real)) return mapping;
  FILE* maps = fopen("/proc/self/maps", "re");
  if (!maps) return mapping;
  char line[4608];
  while (fgets(line, sizeof line, maps)) {
    uintptr_t start, end;
    int name = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &start, &end, &name) < 2 || name == 0) continue;
    std::string file(line + name);
    if (!file.empty() && file.back() == '\n') file.pop_back();
    if (file == real) mapping = {reinterpret_cast<char*>(start), end - start};
  }
  fclose(maps);
  return mapping;
}

void ReleaseMapped(const Mapping& mapping, const std::string& path) {
  struct stat status;
  if (mapping.length == 0 || stat(path.c_str(), &status)) return;
  size_t bytes = std::min(mapping.length, static_cast<size_t>(status.st_size));
  if (bytes >= kSmallBytes) madvise(mapping.start, bytes, MADV_DONTNEED);
}

}  // namespace basalt

static basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  // Each arena keeps what its threads gave back: two are enough for threads that allocate next to nothing.
  mallopt(M_ARENA_MAX, 2);
  exports.Set("releaseMapped", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                std::string path = info[0].As<Napi::String>().Utf8Value();
                basalt::ReleaseMapped(basalt::FindMapping(path), path);
              }));
});
