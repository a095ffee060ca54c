// Makes a file that shares the bytes of another one (ioctl_ficlone(2)): a snapshot, on file systems that can.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capability.h"
#include "worker.h"

namespace {

class CloneFile : public basalt::Worker {
 public:
  CloneFile(Napi::Env env, int source, int target)
      : Worker(env, basalt::Lane::kDevice), source_(source), target_(target) {}

 private:
  void Run() override {
    // What an earlier clone left behind the end of a source that shrank must not stay.
    if (ftruncate(target_, 0) != 0) return Fail("ftruncate", errno);
    CopyNoCow();
    if (ioctl(target_, FICLONE, source_) != 0) return Fail("ioctl(FICLONE)", errno);
    struct stat status;
    if (fstat(target_, &status) != 0) return Fail("fstat", errno);
    size_ = status.st_size;
  }

  // btrfs clones a file without copy-on-write only into another such file, and takes the mark on an empty file only.
  void CopyNoCow() {
    int wanted = 0, has = 0;
    if (ioctl(source_, FS_IOC_GETFLAGS, &wanted) != 0 || (wanted & FS_NOCOW_FL) == 0) return;
    if (ioctl(target_, FS_IOC_GETFLAGS, &has) != 0) return;
    has |= FS_NOCOW_FL;
    // Where it does not take the mark, the clone itself says why it can't be.
    static_cast<void>(ioctl(target_, FS_IOC_SETFLAGS, &has));
  }

  Napi::Value Value(Napi::Env env) override { return Napi::Number::New(env, static_cast<double>(size_)); }

  int source_, target_;
  off_t size_ = 0;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("cloneFile", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                int source = info[0].As<Napi::Number>().Int32Value();
                return (new CloneFile(info.Env(), source, info[1].As<Napi::Number>().Int32Value()))->Start();
              }));
});

}  // namespace
