// writableDescriptors: what other processes hold open, or mapped, for writing. Source: proc(5), /proc/pid/fd, fdinfo and maps.
//
// Promises: only tables of the kernel are read, never the files behind them, so that a file server that does not answer holds
// nothing up; holds one line a match. A process or descriptor that goes away meanwhile is left out.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "capability.h"
#include "worker.h"

namespace {

bool IsNumber(const char* name) {
  char* end;
  strtoul(name, &end, 10);
  return end != name && *end == '\0';
}

// The inode number that the kernel shows for a descriptor; empty where it shows none.
std::string InodeShown(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  char text[512];
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[std::max<ssize_t>(length, 0)] = '\0';
  const char* line = strstr(text, "\nino:");
  return line ? std::to_string(strtoull(line + strlen("\nino:"), nullptr, 10)) : "";
}

struct Folder {
  explicit Folder(const std::string& path) : stream(opendir(path.c_str())) {}
  ~Folder() {
    if (stream) closedir(stream);
  }
  // The next name that is a number; null at the end.
  const char* Next() {
    if (!stream) return nullptr;
    for (dirent* entry = readdir(stream); entry; entry = readdir(stream)) {
      if (IsNumber(entry->d_name)) return entry->d_name;
    }
    return nullptr;
  }
  DIR* stream;
};

class WritableDescriptors : public basalt::Worker {
 public:
  WritableDescriptors(Napi::Env env, std::optional<std::string> inode)
      : Worker(env, basalt::Lane::kDevice), inode_(std::move(inode)) {}

 private:
  void Run() override {
    std::string own = std::to_string(getpid());
    Folder processes("/proc");
    if (!processes.stream) return Fail("opendir", errno);
    for (const char* pid = processes.Next(); pid; pid = processes.Next()) {
      if (own != pid) LookAt(pid);
    }
  }

  void LookAt(const std::string& pid) {
    Folder descriptors("/proc/" + pid + "/fd");
    for (const char* name = descriptors.Next(); name; name = descriptors.Next()) {
      // The link itself carries how the descriptor was opened.
      struct stat link;
      if (fstatat(dirfd(descriptors.stream), name, &link, AT_SYMLINK_NOFOLLOW) != 0 || !(link.st_mode & S_IWUSR)) continue;
      if (MayBeMeant(dirfd(descriptors.stream), pid, name)) found_.push_back(pid + "/fd/" + name);
    }
    if (inode_ && !inode_->empty()) LookAtMaps(pid);
  }

  // Memory that is shared with the file goes on to change it when the descriptor has long been closed.
  void LookAtMaps(const std::string& pid) {
    FILE* maps = fopen(("/proc/" + pid + "/maps").c_str(), "re");
    if (!maps) return;
    char* line = nullptr;
    size_t room = 0;
    while (getline(&line, &room, maps) > 0) {
      char range[64], rights[8], device[32];
      unsigned long long offset, inode;
      if (sscanf(line, "%63s %7s %llx %31s %llu", range, rights, &offset, device, &inode) != 5) continue;
      if (rights[1] != 'w' || rights[3] != 's' || std::to_string(inode) != *inode_) continue;
      found_.push_back(pid + "/map_files/" + range);
    }
    free(line);
    fclose(maps);
  }

  // Devices have many nodes, so only their place tells; a file is told by its inode, unless the kernel does not show it.
  bool MayBeMeant(int folder, const std::string& pid, const char* name) {
    char target[4096];
    ssize_t length = readlinkat(folder, name, target, sizeof target - 1);
    if (length < 0) return errno == ENAMETOOLONG;
    target[length] = '\0';
    if (!inode_) return strstr(target, "/dev/") != nullptr;
    for (const char* other : {"socket:", "pipe:", "anon_inode:"}) {
      if (strncmp(target, other, strlen(other)) == 0) return false;
    }
    std::string inode = InodeShown("/proc/" + pid + "/fdinfo/" + name);
    return inode.empty() || inode == *inode_;
  }

  Napi::Value Value(Napi::Env env) override {
    Napi::Array list = Napi::Array::New(env, found_.size());
    for (size_t i = 0; i < found_.size(); i++) list.Set(static_cast<uint32_t>(i), Napi::String::New(env, found_[i]));
    return list;
  }

  std::optional<std::string> inode_;
  std::vector<std::string> found_;
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("writableDescriptors", Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
                std::optional<std::string> inode;
                if (info[0].IsString()) inode = info[0].As<Napi::String>().Utf8Value();
                return (new WritableDescriptors(info.Env(), std::move(inode)))->Start();
              }));
});

}  // namespace
