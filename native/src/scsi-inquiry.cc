// What a block device says of itself, asked by name: INQUIRY pages, size and blocks; its buffers written back; orders to the kernel.
//
// Promises: the device is opened here, on a thread for devices, as an open of a device whose paths are gone can hang as long as a
// read; it is asked, never the kernel's memory of an earlier answer; what it answers is handed out as it came, cut at what was read.
// Source: sg(4), "SCSI Generic HOWTO"; SPC-4 6.4 (INQUIRY), 4.5 (sense data).
#include <fcntl.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "capability.h"
#include "worker.h"

namespace {

constexpr unsigned kPageBytes = 4096;
constexpr unsigned kHeaderBytes = 4;
constexpr int kUnitAttention = 6, kIllegalRequest = 5;
constexpr int kTries = 3;
// INQUIRY where it is not known ("invalid command") or the page is not ("invalid field in CDB").
constexpr int kInvalidCommand = 0x20, kInvalidField = 0x24;

// Work on one device takes turns with other work on it, not with that on other devices.
int LaneOf(const std::string& path) { return static_cast<int>(std::hash<std::string>{}(path) & 0x3fffffff) | 0x40000000; }

// A device opened by name for one piece of work.
class NamedDevice : public basalt::Worker {
 public:
  NamedDevice(Napi::Env env, std::string path, int flags = O_RDONLY | O_NONBLOCK)
      : Worker(env, basalt::Lane::kDevice, LaneOf(path)), path_(std::move(path)), flags_(flags | O_CLOEXEC) {}
  ~NamedDevice() override {
    if (fd_ >= 0) close(fd_);
  }

 protected:
  void Run() override {
    fd_ = open(path_.c_str(), flags_);
    if (fd_ < 0) return Fail("open", errno);
    Ask();
    // Here, and not when the promise settles: a close can wait for the device as well.
    close(fd_);
    fd_ = -1;
  }
  virtual void Ask() = 0;
  int fd() const { return fd_; }

 private:
  std::string path_;
  int flags_;
  int fd_ = -1;
};

class Inquiry : public NamedDevice {
 public:
  Inquiry(Napi::Env env, std::string path, int page, unsigned timeout_ms)
      : NamedDevice(env, std::move(path)), page_(static_cast<uint8_t>(page)), timeout_ms_(timeout_ms) {}

 private:
  void Ask() override {
    for (int tries = 0; tries < kTries; tries++) {
      memset(bytes_, 0, sizeof bytes_);
      memset(sense_, 0, sizeof sense_);
      uint8_t command[6] = {0x12, 1, page_, kPageBytes >> 8, kPageBytes & 0xff, 0};
      sg_io_hdr_t io{};
      io.interface_id = 'S';
      io.dxfer_direction = SG_DXFER_FROM_DEV;
      io.cmd_len = sizeof command;
      io.cmdp = command;
      io.mx_sb_len = sizeof sense_;
      io.sbp = sense_;
      io.dxfer_len = kPageBytes;
      io.dxferp = bytes_;
      io.timeout = timeout_ms_;
      if (ioctl(fd(), SG_IO, &io) != 0) {
        // A device of another kind: loop, nbd, device mapper over such.
        if (errno == ENOTTY || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS) return;
        return Fail("ioctl(SG_IO)", errno);
      }
      if (Judge(io)) return;
    }
    FailWith("UNIT_ATTENTION", "INQUIRY: the device went on to report changes of its own");
  }

  // False where the question has to be asked again.
  bool Judge(const sg_io_hdr_t& io) {
    if ((io.info & SG_INFO_OK_MASK) == SG_INFO_OK) {
      size_t got = kPageBytes - std::min<size_t>(std::max(io.resid, 0), kPageBytes);
      if (got < kHeaderBytes || bytes_[1] != page_) return true;
      // Peripheral qualifier: anything but 0 says that no volume is behind this number, whatever else the answer holds.
      if (bytes_[0] >> 5 != 0) {
        FailWith("NO_UNIT", "INQUIRY: no unit is connected");
        return true;
      }
      got_ = got;
      return true;
    }
    int key = -1, code = -1;
    if (io.sb_len_wr >= 3) {
      bool descriptors = (sense_[0] & 0x7f) >= 0x72;
      key = (descriptors ? sense_[1] : sense_[2]) & 0xf;
      code = descriptors ? sense_[2] : io.sb_len_wr > 12 ? sense_[12] : -1;
    }
    if (key == kUnitAttention) return false;
    if (key == kIllegalRequest && (code == kInvalidCommand || code == kInvalidField)) return true;
    char text[120];
    snprintf(text, sizeof text, "INQUIRY: status %d, host %d, driver %d, sense key %d, code %d", io.status, io.host_status,
             io.driver_status, key, code);
    // Illegal request otherwise: "logical unit not supported", the storage shows no volume under this number any more.
    FailWith(key == kIllegalRequest ? "NO_UNIT" : "EIO", text);
    return true;
  }

  Napi::Value Value(Napi::Env env) override {
    if (got_ == 0) return env.Undefined();
    return Napi::Buffer<uint8_t>::Copy(env, bytes_, got_);
  }

  uint8_t page_;
  unsigned timeout_ms_;
  size_t got_ = 0;
  uint8_t bytes_[kPageBytes];
  uint8_t sense_[64];
};

class NamedSize : public NamedDevice {
 public:
  NamedSize(Napi::Env env, std::string path) : NamedDevice(env, std::move(path)) {}

 private:
  void Ask() override {
    if (ioctl(fd(), BLKGETSIZE64, &size_) != 0) return Fail("ioctl(BLKGETSIZE64)", errno);
    if (ioctl(fd(), BLKSSZGET, &block_) != 0) return Fail("ioctl(BLKSSZGET)", errno);
  }
  Napi::Value Value(Napi::Env env) override {
    Napi::Object size = Napi::Object::New(env);
    size.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(size_)));
    size.Set("blockBytes", Napi::Number::New(env, block_));
    return size;
  }
  uint64_t size_ = 0;
  int block_ = 0;
};

class NamedFlush : public NamedDevice {
 public:
  NamedFlush(Napi::Env env, std::string path) : NamedDevice(env, std::move(path)) {}

 private:
  void Ask() override {
    // A read-only descriptor does: what is dirty belongs to the device. The buffers need the right to drop them (CAP_SYS_ADMIN).
    if (fsync(fd()) != 0) return Fail("fsync", errno);
    if (ioctl(fd(), BLKFLSBUF, 0) != 0) return Fail("ioctl(BLKFLSBUF)", errno);
  }
  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }
};

// Files of sysfs that set off work: the write returns when it is done, and that can take as long as the device lets it.
class Order : public NamedDevice {
 public:
  Order(Napi::Env env, std::string path, std::string text)
      : NamedDevice(env, std::move(path), O_WRONLY), text_(std::move(text)) {}

 private:
  void Ask() override {
    if (write(fd(), text_.data(), text_.size()) < 0) Fail("write", errno);
  }
  Napi::Value Value(Napi::Env env) override { return env.Undefined(); }
  std::string text_;
};

std::string TextOf(const Napi::Value& value) { return value.As<Napi::String>().Utf8Value(); }

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("inquiry", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                int page = info[1].As<Napi::Number>().Int32Value();
                unsigned timeout_ms = info[2].As<Napi::Number>().Uint32Value();
                return (new Inquiry(info.Env(), TextOf(info[0]), page, timeout_ms))->Start();
              }));
  exports.Set("namedSize", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new NamedSize(info.Env(), TextOf(info[0])))->Start();
              }));
  exports.Set("order", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new Order(info.Env(), TextOf(info[0]), TextOf(info[1])))->Start();
              }));
  exports.Set("namedFlush", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                return (new NamedFlush(info.Env(), TextOf(info[0])))->Start();
              }));
});

}  // namespace
