// The one list of readers.
#include "file-system.h"

namespace reader {

namespace {

constexpr Open kReaders[] = {OpenExt, OpenXfs, OpenNtfs, OpenFat, OpenExfat};

}  // namespace

std::unique_ptr<FileSystem> OpenFileSystem(const Image& image) {
  for (Open open : kReaders) {
    if (auto found = open(image)) return found;
  }
  Fail(ENOTSUP, "no file system is known there");
}

}  // namespace reader
