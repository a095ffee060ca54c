// The limit of reading through FUSE: a file server that has its one file in memory. memory-fuse FOLDER MEBIBYTES
// Serves FOLDER/image with the low-level interface and several threads until it is unmounted or told to end.
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { kImage = 2 };
static const double kForEver = 3600;
static char *image;
static size_t image_bytes;

static void Describe(fuse_ino_t node, struct stat *about) {
  memset(about, 0, sizeof *about);
  about->st_ino = node;
  about->st_mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
  about->st_nlink = node == FUSE_ROOT_ID ? 2 : 1;
  about->st_size = node == FUSE_ROOT_ID ? 0 : (off_t)image_bytes;
}

static void LookUp(fuse_req_t request, fuse_ino_t parent, const char *name) {
  struct fuse_entry_param entry = {.ino = kImage, .attr_timeout = kForEver, .entry_timeout = kForEver};
  if (parent != FUSE_ROOT_ID || strcmp(name, "image")) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  Describe(kImage, &entry.attr);
  fuse_reply_entry(request, &entry);
}

static void GetAttributes(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file) {
  (void)file;
  struct stat about;
  Describe(node, &about);
  fuse_reply_attr(request, &about, kForEver);
}

static void Open(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file) {
  (void)node;
  fuse_reply_open(request, file);
}

static void Read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *file) {
  (void)node;
  (void)file;
  size_t start = (size_t)offset < image_bytes ? (size_t)offset : image_bytes;
  size_t length = image_bytes - start < size ? image_bytes - start : size;
  fuse_reply_buf(request, image + start, length);
}

int main(int count, char **words) {
  if (count != 3) return 64;
  image_bytes = strtoull(words[2], NULL, 10) << 20;
  image = malloc(image_bytes);
  if (!image) return 1;
  for (size_t i = 0; i < image_bytes; i++) image[i] = (char)(i * 31 >> 3);
  const struct fuse_lowlevel_ops operations = {.lookup = LookUp, .getattr = GetAttributes, .open = Open, .read = Read};
  char *options[] = {words[0], "-ofsname=memory-fuse"};
  struct fuse_args arguments = FUSE_ARGS_INIT(2, options);
  struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, NULL);
  if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, words[1])) return 1;
  struct fuse_loop_config loop = {.clone_fd = 1, .max_idle_threads = 10};
  int status = fuse_session_loop_mt(session, &loop);
  fuse_session_unmount(session);
  fuse_session_destroy(session);
  return status < 0 ? 1 : 0;
}
