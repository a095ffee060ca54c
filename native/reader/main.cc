// basalt-reader: reads the file system in an image for a process that does not want to.
//
//   basalt-reader OFFSET BYTES THREADS      image: descriptor 3; socket: descriptor 4
//
// Promises: the image is only read; a crash, a hang or a refusal is this process's own. Knows nothing of backups.
#include <malloc.h>

#include <cstdio>
#include <cstdlib>

#include "sandbox.h"
#include "server.h"

namespace {

constexpr int kImage = 3;
constexpr int kSocket = 4;
// Address space, most of it stacks and the caches of metadata.
constexpr uint64_t kMemoryBytes = uint64_t{512} << 20;
constexpr unsigned kThreadsMax = 16;

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    fputs("Usage: basalt-reader OFFSET BYTES THREADS\n", stderr);
    return 64;
  }
  const uint64_t offset = strtoull(arguments[1], nullptr, 10);
  const uint64_t bytes = strtoull(arguments[2], nullptr, 10);
  const unsigned threads = static_cast<unsigned>(strtoul(arguments[3], nullptr, 10));
  if (threads < 1 || threads > kThreadsMax) return 64;
  // One heap for all threads: each further one reserves far more addresses than it uses.
  mallopt(M_ARENA_MAX, 1);
  reader::DropRights(kMemoryBytes);
  auto open = [&] { return reader::OpenFileSystem(reader::Image(kImage, offset, bytes)); };
  reader::Serve(kSocket, open, threads, reader::AllowOnlyReading);
}
