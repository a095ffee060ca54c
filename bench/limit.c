// The limit that the benchmark compares with: the stages of a backup and of a restore as one plain C program, 2 threads.
//   limit backup IMAGE FOLDER [KNOWN]   read ▷ zero? ▷ BLAKE3 ▷ known? ▷ zstd -1 ▷ packs of 32 MiB, synced ▷ map
//   limit hash IMAGE                    read ▷ zero? ▷ BLAKE3
//   limit restore FOLDER TARGET         read ▷ decompress ▷ verify ▷ write, synced
// KNOWN is the folder of an earlier backup: what it holds is not stored again. Prints the bytes stored.
// Does without what a product needs: format, catalog, locks, resume, progress, cancellation, recovery from anything.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "blake3.h"

enum { kThreads = 2, kBlock = 64 << 10, kSegment = 1 << 20, kPack = 32 << 20, kBlocks = kSegment / kBlock };

// Where a block is. A block of zeros has stored 0; generation 1 is the folder KNOWN.
typedef struct {
  uint8_t hash[32];
  uint32_t pack, offset, stored, generation;
} Place;

static int image, folder, known_folder = -1, target, hash_only, fresh_target;
static uint64_t image_bytes, blocks_total, table_slots, stored_total;
static uint32_t next_segment, next_pack;
static Place *map;          // one a block of the image
static uint32_t *table;     // index of a place in `all`, plus one
static Place *all;          // the known places, then the new ones
static uint64_t all_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void Die(const char *what) {
  fprintf(stderr, "limit: cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static void *Allocate(size_t bytes) {
  void *memory = NULL;
  if (bytes == 0) bytes = 1;
  if (posix_memalign(&memory, 4096, bytes)) Die("allocate");
  memset(memory, 0, bytes);
  return memory;
}

static void ReadAll(int fd, void *to, size_t length, uint64_t position) {
  for (size_t done = 0; done < length;) {
    ssize_t count = pread(fd, (char *)to + done, length - done, (off_t)(position + done));
    if (count <= 0) Die("read");
    done += (size_t)count;
  }
}

static void WriteAll(int fd, const void *from, size_t length, uint64_t position) {
  for (size_t done = 0; done < length;) {
    ssize_t count = pwrite(fd, (const char *)from + done, length - done, (off_t)(position + done));
    if (count <= 0) Die("write");
    done += (size_t)count;
  }
}

static void HashOf(const uint8_t *block, uint8_t *hash) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, block, kBlock);
  blake3_hasher_finalize(&hasher, hash, 32);
}

static int AllZero(const uint8_t *block) { return block[0] == 0 && memcmp(block, block + 1, kBlock - 1) == 0; }

// The slot of the hash, or the free one where it belongs.
static uint64_t SlotOf(const uint8_t *hash) {
  uint64_t slot;
  memcpy(&slot, hash, sizeof slot);
  for (slot %= table_slots; table[slot]; slot = (slot + 1) % table_slots)
    if (memcmp(all[table[slot] - 1].hash, hash, 32) == 0) break;
  return slot;
}

// True where the block is new: then the caller stores it, and fills the place in `all` at `index`.
static int Claim(const uint8_t *hash, uint64_t *index) {
  pthread_mutex_lock(&mutex);
  uint64_t slot = SlotOf(hash);
  int is_new = table[slot] == 0;
  if (is_new) {
    memcpy(all[all_count].hash, hash, 32);
    table[slot] = (uint32_t)++all_count;
  }
  *index = table[slot] - 1;
  pthread_mutex_unlock(&mutex);
  return is_new;
}

// A thread's open pack.
typedef struct {
  int fd;
  uint32_t number, bytes;
} PackFile;

static int OpenNumbered(int in, uint32_t number, int flags) {
  char name[16];
  snprintf(name, sizeof name, "%u.pack", number);
  int fd = openat(in, name, flags, 0600);
  if (fd < 0) Die("open a pack");
  return fd;
}

static void ClosePack(PackFile *pack) {
  if (pack->fd < 0) return;
  if (fsync(pack->fd) || close(pack->fd)) Die("sync a pack");
  pack->fd = -1;
}

static void Store(PackFile *pack, const uint8_t *bytes, uint32_t length) {
  if (pack->fd < 0) {
    pack->number = __atomic_fetch_add(&next_pack, 1, __ATOMIC_RELAXED);
    pack->fd = OpenNumbered(folder, pack->number, O_CREAT | O_WRONLY | O_TRUNC);
    pack->bytes = 0;
  }
  WriteAll(pack->fd, bytes, length, pack->bytes);
  pack->bytes += length;
  __atomic_fetch_add(&stored_total, length, __ATOMIC_RELAXED);
  if (pack->bytes >= kPack) ClosePack(pack);
}

// One segment: blocks that are new go one behind the other to `output`, and in one write to the pack.
static void SealSegment(uint64_t first, uint64_t count, uint8_t *input, uint8_t *output, ZSTD_CCtx *zstd, PackFile *pack) {
  uint64_t fresh[kBlocks];
  uint32_t offset = 0, amount = 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t *block = input + i * kBlock;
    Place *place = &map[first + i];
    if (AllZero(block)) continue;
    HashOf(block, place->hash);
    if (hash_only) continue;
    uint64_t index;
    if (Claim(place->hash, &index)) {
      size_t size = ZSTD_compressCCtx(zstd, output + offset, kBlock - kBlock / 16, block, kBlock, 1);
      if (ZSTD_isError(size)) memcpy(output + offset, block, size = kBlock);
      all[index].offset = offset;
      all[index].stored = (uint32_t)size;
      fresh[amount++] = index;
      offset += (uint32_t)size;
    }
    place->pack = (uint32_t)index;  // resolved at the end, when all places are known
    place->stored = 1;
  }
  if (amount == 0) return;
  uint32_t begin = pack->fd < 0 ? 0 : pack->bytes;
  Store(pack, output, offset);
  for (uint32_t i = 0; i < amount; i++) {
    all[fresh[i]].pack = pack->number;
    all[fresh[i]].offset += begin;
  }
}

static void *SealSome(void *nothing) {
  uint8_t *input = Allocate(kSegment), *output = Allocate(kSegment);
  ZSTD_CCtx *zstd = ZSTD_createCCtx();
  PackFile pack = {.fd = -1};
  uint64_t position;
  while ((position = (uint64_t)__atomic_fetch_add(&next_segment, 1, __ATOMIC_RELAXED) * kSegment) < image_bytes) {
    size_t length = image_bytes - position < kSegment ? (size_t)(image_bytes - position) : kSegment;
    uint64_t count = (length + kBlock - 1) / kBlock;
    ReadAll(image, input, length, position);
    memset(input + length, 0, count * kBlock - length);
    SealSegment(position / kBlock, count, input, output, zstd, &pack);
  }
  ClosePack(&pack);
  ZSTD_freeCCtx(zstd);
  return nothing;
}

static void *RestoreSome(void *nothing) {
  uint8_t *output = Allocate(kSegment), *stored = Allocate(kBlock), hash[32];
  ZSTD_DCtx *zstd = ZSTD_createDCtx();
  int fd = -1;
  uint64_t open_pack = UINT64_MAX, position;
  while ((position = (uint64_t)__atomic_fetch_add(&next_segment, 1, __ATOMIC_RELAXED) * kSegment) < image_bytes) {
    size_t length = image_bytes - position < kSegment ? (size_t)(image_bytes - position) : kSegment;
    size_t full = 0;
    for (size_t at = 0; at < length; at += kBlock) {
      const Place *place = &map[(position + at) / kBlock];
      uint8_t *block = output + at;
      if (place->stored == 0) {
        memset(block, 0, kBlock);
        continue;
      }
      full++;
      uint64_t wanted = (uint64_t)place->generation << 32 | place->pack;
      if (wanted != open_pack) {
        if (fd >= 0) close(fd);
        fd = OpenNumbered(place->generation ? known_folder : folder, place->pack, O_RDONLY);
        open_pack = wanted;
      }
      ReadAll(fd, place->stored == kBlock ? block : stored, place->stored, place->offset);
      if (place->stored < kBlock && ZSTD_decompressDCtx(zstd, block, kBlock, stored, place->stored) != kBlock) Die("decompress");
      HashOf(block, hash);
      if (memcmp(hash, place->hash, 32)) Die("verify");
    }
    if (full > 0 || !fresh_target) WriteAll(target, output, length, position);
  }
  ZSTD_freeDCtx(zstd);
  return nothing;
}

static void RunThreads(void *(*work)(void *)) {
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; i++)
    if (pthread_create(&threads[i], NULL, work, NULL)) Die("start a thread");
  for (int i = 0; i < kThreads; i++) pthread_join(threads[i], NULL);
}

static int OpenFolder(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) Die("open the folder");
  return fd;
}

// Past the page cache where the file system and the size of the image permit it.
static int OpenDirect(const char *path, int flags) {
  int fd = image_bytes % 4096 ? -1 : open(path, flags | O_DIRECT, 0600);
  if (fd < 0) fd = open(path, flags, 0600);
  if (fd < 0) Die("open the image or target");
  return fd;
}

// The map file: size of the image, then a place for each block.
static Place *LoadMap(int in, uint64_t *bytes, uint64_t *count) {
  int fd = openat(in, "map", O_RDONLY);
  if (fd < 0) Die("open the map");
  ReadAll(fd, bytes, sizeof *bytes, 0);
  *count = (*bytes + kBlock - 1) / kBlock;
  Place *places = Allocate(*count * sizeof(Place));
  ReadAll(fd, places, *count * sizeof(Place), sizeof *bytes);
  close(fd);
  return places;
}

static void SaveMap(void) {
  for (uint64_t i = 0; i < blocks_total; i++)
    if (map[i].stored) map[i] = all[map[i].pack];
  int fd = openat(folder, "map", O_CREAT | O_WRONLY | O_TRUNC, 0600);
  if (fd < 0) Die("make the map");
  WriteAll(fd, &image_bytes, sizeof image_bytes, 0);
  WriteAll(fd, map, blocks_total * sizeof(Place), sizeof image_bytes);
  if (fsync(fd) || close(fd) || fsync(folder)) Die("sync the map");
}

static void TakeKnown(const char *path) {
  uint64_t bytes, count;
  known_folder = OpenFolder(path);
  Place *known = LoadMap(known_folder, &bytes, &count);
  all = Allocate((count + blocks_total) * sizeof(Place));
  table_slots = (count + blocks_total) * 2 + 1;
  table = Allocate(table_slots * sizeof *table);
  for (uint64_t i = 0, index; i < count; i++) {
    if (known[i].stored == 0 || !Claim(known[i].hash, &index)) continue;
    all[index] = known[i];
    all[index].generation = 1;
  }
  free(known);
}

static void OpenImage(const char *path) {
  struct stat about;
  if (stat(path, &about)) Die("open the image");
  image_bytes = (uint64_t)about.st_size;
  image = OpenDirect(path, O_RDONLY);
  blocks_total = (image_bytes + kBlock - 1) / kBlock;
  map = Allocate(blocks_total * sizeof(Place));
}

static void Restore(const char *from, const char *to) {
  folder = OpenFolder(from);
  map = LoadMap(folder, &image_bytes, &blocks_total);
  fresh_target = access(to, F_OK) != 0;
  target = OpenDirect(to, O_CREAT | O_WRONLY);
  if (ftruncate(target, (off_t)image_bytes)) Die("open the target");
  RunThreads(RestoreSome);
  if (fsync(target)) Die("sync the target");
}

int main(int count, char **words) {
  if (count == 4 && strcmp(words[1], "restore") == 0) {
    Restore(words[2], words[3]);
    return 0;
  }
  hash_only = count == 3 && strcmp(words[1], "hash") == 0;
  if (!hash_only && (count < 4 || count > 5 || strcmp(words[1], "backup"))) {
    fputs("limit: backup IMAGE FOLDER [KNOWN] | hash IMAGE | restore FOLDER TARGET\n", stderr);
    return 64;
  }
  OpenImage(words[2]);
  if (!hash_only) folder = OpenFolder(words[3]);
  if (count == 5) {
    TakeKnown(words[4]);
  } else {
    all = Allocate(blocks_total * sizeof(Place));
    table_slots = blocks_total * 2 + 1;
    table = Allocate(table_slots * sizeof *table);
  }
  RunThreads(SealSome);
  if (!hash_only) SaveMap();
  printf("%llu\n", (unsigned long long)stored_total);
  return 0;
}
