// basalt-reader: reads the file system in an image for a process that does not want to.
//
//   basalt-reader IMAGE OFFSET BYTES THREADS      socket: descriptor 3
//
// Promises: the image is only read; a crash, a hang or a refusal is this process's own. Knows nothing of backups.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "sandbox.h"
#include "server.h"

namespace {

constexpr int kSocket = 3;
// Address space, most of it stacks and the caches of metadata.
constexpr uint64_t kMemoryBytes = uint64_t{512} << 20;
constexpr unsigned kThreadsMax = 16;

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    fputs("Usage: basalt-reader IMAGE OFFSET BYTES THREADS\n", stderr);
    return 64;
  }
  const uint64_t offset = strtoull(arguments[2], nullptr, 10);
  const uint64_t bytes = strtoull(arguments[3], nullptr, 10);
  const unsigned threads = static_cast<unsigned>(strtoul(arguments[4], nullptr, 10));
  if (threads < 1 || threads > kThreadsMax) return 64;
  // Opened here: the agent must not wait for a file that it serves itself.
  const int image = open(arguments[1], O_RDONLY | O_CLOEXEC);
  if (image < 0) return 66;
  // One heap for all threads: each further one reserves far more addresses than it uses.
  mallopt(M_ARENA_MAX, 1);
  reader::DropRights(kMemoryBytes);
  auto open = [&] { return reader::OpenFileSystem(reader::Image(image, offset, bytes)); };
  reader::Serve(kSocket, open, threads, reader::AllowOnlyReading);
}
