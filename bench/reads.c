// Times random reads of 4 KiB from a file, twice the same ones: reads FILE COUNT SEED.
// Prints a line a pass: seconds, then the microseconds of the median, the 99th percentile and the slowest read.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double NowUs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int Order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

// splitmix64
static uint64_t Next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

int main(int count, char **words) {
  struct stat about;
  char page[4096];
  if (count != 4) return 64;
  int fd = open(words[1], O_RDONLY);
  size_t reads = strtoull(words[2], NULL, 10);
  double *times = calloc(reads, sizeof *times);
  if (fd < 0 || fstat(fd, &about) || about.st_size < 4096 || reads == 0 || !times) {
    perror(words[1]);
    return 1;
  }
  for (int pass = 0; pass < 2; pass++) {
    uint64_t state = strtoull(words[3], NULL, 10);
    double begin = NowUs();
    for (size_t i = 0; i < reads; i++) {
      off_t position = (off_t)(Next(&state) % ((uint64_t)about.st_size / 4096) * 4096);
      double start = NowUs();
      if (pread(fd, page, sizeof page, position) != (ssize_t)sizeof page) {
        perror(words[1]);
        return 1;
      }
      times[i] = NowUs() - start;
    }
    double seconds = (NowUs() - begin) / 1e6;
    qsort(times, reads, sizeof *times, Order);
    printf("%.6f %.1f %.1f %.1f\n", seconds, times[reads / 2], times[reads * 99 / 100], times[reads - 1]);
  }
  return 0;
}
