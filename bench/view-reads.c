// Reads a file as the rows of the view ask for, and prints what came of it:
//   view-reads whole FILE                            all of it through the page cache, 1 MiB at a time ─▶ MiB/s
//   view-reads sequential FILE SECONDS MIB           its first MIB again and again past the page cache, 1 MiB at a time ─▶ MiB/s
//   view-reads random FILE SECONDS MIB THREADS SEED  4 KiB anywhere in them past the page cache, each thread one at a time ─▶ reads/s
//   view-reads first FILE                            opens it and reads its first 4 KiB ─▶ milliseconds
// The first pass over the MIB is not counted: it brings them into the memory of who serves the file.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kPiece = 1 << 20, kPage = 4096 };
static int fd;
static uint64_t region, seed;
static double seconds, end_at;  // a measurement lasts at least so long
static uint64_t reads_done;

static double Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void Die(const char *what) {
  perror(what);
  exit(1);
}

static void *Aligned(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, kPage, bytes)) Die("posix_memalign");
  return memory;
}

static uint64_t ReadRegion(void *buffer) {
  uint64_t position = 0;
  while (position < region) {
    ssize_t count = pread(fd, buffer, kPiece, (off_t)position);
    if (count <= 0) Die("pread");
    position += (uint64_t)count;
  }
  return position;
}

// splitmix64
static uint64_t Next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static void *ReadPages(void *number) {
  uint64_t state = seed + (uint64_t)(uintptr_t)number * 7919, done = 0;
  void *page = Aligned(kPage);
  while (done % 64 || Now() < end_at) {
    off_t position = (off_t)(Next(&state) % (region / kPage) * kPage);
    if (pread(fd, page, kPage, position) != kPage) Die("pread");
    done++;
  }
  __atomic_fetch_add(&reads_done, done, __ATOMIC_RELAXED);
  return NULL;
}

static void Random(size_t threads) {
  pthread_t *all = calloc(threads, sizeof *all);
  double begin = Now();
  end_at = begin + seconds;
  for (size_t i = 0; i < threads; i++)
    if (pthread_create(&all[i], NULL, ReadPages, (void *)(uintptr_t)i)) Die("pthread_create");
  for (size_t i = 0; i < threads; i++) pthread_join(all[i], NULL);
  printf("%.1f\n", (double)reads_done / (Now() - begin));
}

static void Sequential(void *buffer) {
  double begin = Now();
  uint64_t bytes = 0;
  while (Now() - begin < seconds) bytes += ReadRegion(buffer);
  printf("%.1f\n", (double)bytes / (1 << 20) / (Now() - begin));
}

static void Whole(void *buffer) {
  double begin = Now();
  uint64_t bytes = 0;
  for (ssize_t count; (count = read(fd, buffer, kPiece)) != 0; bytes += (uint64_t)count)
    if (count < 0) Die("read");
  printf("%.1f\n", (double)bytes / (1 << 20) / (Now() - begin));
}

int main(int count, char **words) {
  if (count < 3) return 64;
  int cached = !strcmp(words[1], "whole") || !strcmp(words[1], "first");
  double begin = Now();
  fd = open(words[2], O_RDONLY | (cached ? 0 : O_DIRECT));
  if (fd < 0) Die(words[2]);
  void *buffer = Aligned(kPiece);
  if (!strcmp(words[1], "first") && count == 3) {
    if (read(fd, buffer, kPage) <= 0) Die("read");
    printf("%.3f\n", (Now() - begin) * 1000);
    return 0;
  }
  if (cached) {
    Whole(buffer);
    return 0;
  }
  if (count < 5 || (region = strtoull(words[4], NULL, 10) << 20) == 0) return 64;
  seconds = strtod(words[3], NULL);
  ReadRegion(buffer);
  if (!strcmp(words[1], "sequential")) {
    Sequential(buffer);
  } else {
    if (count != 7) return 64;
    seed = strtoull(words[6], NULL, 10);
    Random(strtoull(words[5], NULL, 10));
  }
  return 0;
}
