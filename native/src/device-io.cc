// What a copy needs of files and block devices beyond reading and writing: runs of data, ranges made zero, size, durability, locks.
//
// Promises: a range that can't be proved a hole is data; after zeroRange every byte of the range reads as zero, by whatever way.
// Knows nothing of volumes: the caller keeps ranges within the file.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "capability.h"
#include "holes.h"
#include "worker.h"

namespace {

using basalt::NumberOf;

constexpr off_t kStepBytes = 1 << 20;
// What is taken as data, without another look, where holes come and go while they are asked for.
constexpr off_t kUnsureBytes = 1 << 20;
// Not const: so it lies in .bss, where reading it takes no memory.
alignas(4096) uint8_t zeros[kStepBytes];

int IntOf(const Napi::Value& value) { return value.As<Napi::Number>().Int32Value(); }
off_t OffsetOf(const Napi::Value& value) { return static_cast<off_t>(NumberOf(value)); }

class NextExtent : public basalt::Worker {
 public:
  NextExtent(Napi::Env env, int fd, off_t position, off_t end)
      : Worker(env, basalt::Lane::kDevice, fd), fd_(fd), position_(position), end_(end) {}

 private:
  void Run() override {
    if (position_ >= end_) {
      none_ = true;
      return;
    }
    off_t start = lseek(fd_, position_, SEEK_DATA);
    if (start < 0) {
      // ENXIO: no data behind this place, so a hole to the end. EINVAL and its like: the file can't say, so it is data.
      if (errno == ENXIO) return Answer(false, end_);
      if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS) return Answer(true, end_);
      return Fail("lseek", errno, static_cast<double>(position_));
    }
    if (start > position_) return Answer(false, start);
    off_t stop = lseek(fd_, position_, SEEK_HOLE);
    if (stop < 0) return Answer(true, end_);
    // Between the two calls the data may have become a hole: reading it as data is right all the same.
    Answer(true, stop > position_ ? stop : position_ + kUnsureBytes);
  }

  void Answer(bool data, off_t stop) {
    data_ = data;
    stop_ = std::min(stop, end_);
  }

  Napi::Value Value(Napi::Env env) override {
    if (none_) return env.Undefined();
    Napi::Object extent = Napi::Object::New(env);
    extent.Set("data", Napi::Boolean::New(env, data_));
    extent.Set("end", Napi::Number::New(env, static_cast<double>(stop_)));
    return extent;
  }

  int fd_;
  off_t position_;
  off_t end_;
  off_t stop_ = 0;
  bool data_ = false;
  bool none_ = false;
};

class ZeroRange : public basalt::Worker {
 public:
  ZeroRange(Napi::Env env, int fd, off_t position, off_t length)
      : Worker(env, basalt::Lane::kDevice, fd), fd_(fd), position_(position), length_(length) {}

 private:
  void Run() override {
    if (length_ <= 0) return;
    struct stat status;
    if (fstat(fd_, &status) != 0) return Fail("fstat", errno, static_cast<double>(position_));
    off_t from = position_;
    off_t to = position_ + length_;
    if (S_ISBLK(status.st_mode)) {
      int sector = 0;
      if (ioctl(fd_, BLKSSZGET, &sector) != 0) return Fail("ioctl(BLKSSZGET)", errno, static_cast<double>(position_));
      // A device zeroes whole sectors only; what sticks out at either edge is written.
      from = (from + sector - 1) / sector * sector;
      to = to / sector * sector;
      if (from >= to) {
        Write(position_, position_ + length_);
        return;
      }
    }
    if (!Write(position_, from) || !Write(to, position_ + length_)) return;
    // Whatever the reason that these are refused for: the write that follows is what counts, and it names its own.
    const char* way = from < to ? basalt::MakeZero(fd_, from, to - from) : nullptr;
    if (way != nullptr) {
      way_ = way;
    } else {
      Write(from, to);
    }
  }

  bool Write(off_t from, off_t to) {
    while (from < to) {
      ssize_t written = pwrite(fd_, zeros, static_cast<size_t>(std::min(kStepBytes, to - from)), from);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        Fail("pwrite", written < 0 ? errno : EIO, static_cast<double>(from));
        return false;
      }
      from += written;
    }
    return true;
  }

  Napi::Value Value(Napi::Env env) override { return Napi::String::New(env, way_); }

  int fd_;
  off_t position_;
  off_t length_;
  const char* way_ = "written";
};

class BlockDevice : public basalt::Worker {
 public:
  BlockDevice(Napi::Env env, int fd) : Worker(env, basalt::Lane::kDevice, fd), fd_(fd) {}

 private:
  void Run() override {
    if (ioctl(fd_, BLKGETSIZE64, &size_) != 0) return Fail("ioctl(BLKGETSIZE64)", errno);
    if (ioctl(fd_, BLKSSZGET, &sector_) != 0) return Fail("ioctl(BLKSSZGET)", errno);
    if (ioctl(fd_, BLKROGET, &readOnly_) != 0) return Fail("ioctl(BLKROGET)", errno);
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Object device = Napi::Object::New(env);
    device.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(size_)));
    device.Set("sectorBytes", Napi::Number::New(env, sector_));
    device.Set("readOnly", Napi::Boolean::New(env, readOnly_ != 0));
    return device;
  }

  int fd_;
  uint64_t size_ = 0;
  int sector_ = 0;
  int readOnly_ = 0;
};

// What a loop device stands on, whatever the path to it is called where somebody looks from.
class LoopBacking : public basalt::Worker {
 public:
  LoopBacking(Napi::Env env, int fd) : Worker(env, basalt::Lane::kDevice), fd_(fd) {}

 private:
  void Run() override {
    if (ioctl(fd_, LOOP_GET_STATUS64, &status_) != 0) return Fail("ioctl(LOOP_GET_STATUS64)", errno);
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Object backing = Napi::Object::New(env);
    backing.Set("device", Napi::BigInt::New(env, static_cast<uint64_t>(status_.lo_device)));
    backing.Set("inode", Napi::BigInt::New(env, static_cast<uint64_t>(status_.lo_inode)));
    backing.Set("blockDevice", Napi::BigInt::New(env, static_cast<uint64_t>(status_.lo_rdevice)));
    return backing;
  }

  int fd_;
  loop_info64 status_{};
};

class Sync : public basalt::Worker {
 public:
  Sync(Napi::Env env, int fd) : Worker(env, basalt::Lane::kDevice, fd), fd_(fd) {}

 private:
  void Run() override {
    struct stat status;
    if (fsync(fd_) != 0) return Fail("fsync", errno);
    if (fstat(fd_, &status) != 0) return Fail("fstat", errno);
    // All is durable by now. Dropping the buffers makes later readers see the medium; without the right to, they see the same bytes.
    if (S_ISBLK(status.st_mode)) static_cast<void>(ioctl(fd_, BLKFLSBUF, 0));
  }

  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }

  int fd_;
};

Napi::Value StartNextExtent(const Napi::CallbackInfo& info) {
  return (new NextExtent(info.Env(), IntOf(info[0]), OffsetOf(info[1]), OffsetOf(info[2])))->Start();
}

Napi::Value StartZeroRange(const Napi::CallbackInfo& info) {
  return (new ZeroRange(info.Env(), IntOf(info[0]), OffsetOf(info[1]), OffsetOf(info[2])))->Start();
}

Napi::Value StartBlockDevice(const Napi::CallbackInfo& info) {
  return (new BlockDevice(info.Env(), IntOf(info[0])))->Start();
}

Napi::Value StartLoopBacking(const Napi::CallbackInfo& info) {
  return (new LoopBacking(info.Env(), IntOf(info[0])))->Start();
}

Napi::Value StartSync(const Napi::CallbackInfo& info) { return (new Sync(info.Env(), IntOf(info[0])))->Start(); }

Napi::Value TryLock(const Napi::CallbackInfo& info) {
  while (flock(IntOf(info[0]), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
    if (errno != EINTR) {
      throw basalt::MakeError(info.Env(), basalt::Failure{basalt::ErrnoName(errno), "flock", errno, -1});
    }
  }
  return Napi::Boolean::New(info.Env(), true);
}

class OpenDirect : public basalt::Worker {
 public:
  OpenDirect(Napi::Env env, int fd, bool for_writing)
      : Worker(env, basalt::Lane::kDevice, fd), fd_(fd), flags_(for_writing ? O_RDWR : O_RDONLY) {}

 protected:
  void Run() override {
    std::string path = "/proc/self/fd/" + std::to_string(fd_);
    direct_ = open(path.c_str(), flags_ | O_DIRECT | O_CLOEXEC);
  }
  Napi::Value Value(Napi::Env env) override { return Napi::Number::New(env, direct_); }

 private:
  int fd_, flags_;
  int direct_ = -1;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("nextExtent", Napi::Function::New(env, StartNextExtent));
  exports.Set("zeroRange", Napi::Function::New(env, StartZeroRange));
  exports.Set("loopBacking", Napi::Function::New(env, StartLoopBacking));
  exports.Set("blockDevice", Napi::Function::New(env, StartBlockDevice));
  exports.Set("openDirect", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                int fd = info[0].As<Napi::Number>().Int32Value();
                return (new OpenDirect(info.Env(), fd, info[1].As<Napi::Boolean>().Value()))->Start();
              }));
  exports.Set("sync", Napi::Function::New(env, StartSync));
  exports.Set("tryLock", Napi::Function::New(env, TryLock));
});

}  // namespace
