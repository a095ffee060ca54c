// What Node does not tell of the system: who is at the other end of a socket, a user's groups, word to the service manager, which
// descriptors a new program would inherit.
//
// All of it is at once, on the main thread; a failed call throws. Knows nothing of permissions: it reports what the kernel says.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <vector>

#include "capability.h"
#include "worker.h"

namespace {

// Most groups one user can be in, see NGROUPS_MAX in limits.h.
constexpr size_t kGroupsMax = 65536;
// Longest record of one user that is read.
constexpr size_t kUserBytesMax = 1 << 20;

[[noreturn]] void Throw(Napi::Env env, const char* syscall, int number) {
  throw basalt::MakeError(env, basalt::Failure{basalt::ErrnoName(number), syscall, number, -1});
}

Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  ucred credentials{};
  socklen_t length = sizeof(credentials);
  int fd = info[0].As<Napi::Number>().Int32Value();
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    Throw(info.Env(), "getsockopt(SO_PEERCRED)", errno);
  }
  // The kernel answers for other sockets too, with nobody in it.
  if (credentials.pid == 0 && credentials.uid == static_cast<uid_t>(-1)) {
    Throw(info.Env(), "getsockopt(SO_PEERCRED)", ENOTCONN);
  }
  Napi::Object peer = Napi::Object::New(info.Env());
  peer.Set("pid", Napi::Number::New(info.Env(), credentials.pid));
  peer.Set("uid", Napi::Number::New(info.Env(), credentials.uid));
  peer.Set("gid", Napi::Number::New(info.Env(), credentials.gid));
  return peer;
}

// The user's record, whose strings lie in `buffer`; null where there is no such user. Sets `number` on failure.
passwd* FindUser(uid_t uid, passwd* record, std::vector<char>* buffer, int* number) {
  passwd* found = nullptr;
  do {
    *number = getpwuid_r(uid, record, buffer->data(), buffer->size(), &found);
    if (*number != ERANGE || buffer->size() >= kUserBytesMax) break;
    buffer->resize(buffer->size() * 4);
  } while (true);
  // How the different databases say "no such user", see getpwnam_r(3).
  if (*number == ENOENT || *number == ESRCH || *number == EBADF || *number == EPERM) *number = 0;
  return *number == 0 ? found : nullptr;
}

Napi::Value GroupsOf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  passwd record{};
  std::vector<char> buffer(4096);
  int number = 0;
  passwd* user = FindUser(info[0].As<Napi::Number>().Uint32Value(), &record, &buffer, &number);
  if (number != 0) Throw(env, "getpwuid_r", number);
  Napi::Array list = Napi::Array::New(env);
  if (!user) return list;
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(user->pw_name, user->pw_gid, groups.data(), &count) < 0) {
    if (groups.size() >= kGroupsMax) Throw(env, "getgrouplist", ERANGE);
    groups.resize(std::max(groups.size() * 4, static_cast<size_t>(count)));
    count = static_cast<int>(groups.size());
  }
  for (int place = 0; place < count; ++place) {
    list.Set(static_cast<uint32_t>(place), Napi::Number::New(env, groups[static_cast<size_t>(place)]));
  }
  return list;
}

Napi::Value Notify(const Napi::CallbackInfo& info) {
  std::string path = info[0].As<Napi::String>().Utf8Value();
  std::string message = info[1].As<Napi::String>().Utf8Value();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) Throw(info.Env(), "sendto", EINVAL);
  if (path.size() >= sizeof(address.sun_path)) Throw(info.Env(), "sendto", ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  size_t length = offsetof(sockaddr_un, sun_path) + path.size();
  // An abstract name begins with a zero byte and has no end mark, so its length counts; a path has the mark.
  if (path[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++length;
  }
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) Throw(info.Env(), "socket", errno);
  ssize_t sent = sendto(fd, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
                        static_cast<socklen_t>(length));
  int number = errno;
  close(fd);
  if (sent < 0) Throw(info.Env(), "sendto", number);
  return info.Env().Undefined();
}

// Descriptors of this process that lead to the file at `path`. Only those that a library has opened need it: what is opened here is
// marked as it is opened.
Napi::Value KeepFromChildren(const Napi::CallbackInfo& info) {
  std::string path = info[0].As<Napi::String>().Utf8Value();
  struct stat wanted{};
  if (stat(path.c_str(), &wanted) != 0) Throw(info.Env(), "stat", errno);
  DIR* folder = opendir("/proc/self/fd");
  if (!folder) Throw(info.Env(), "opendir", errno);
  int marked = 0;
  while (dirent* entry = readdir(folder)) {
    char* end;
    int fd = static_cast<int>(strtol(entry->d_name, &end, 10));
    struct stat found{};
    if (*end != '\0' || fstat(fd, &found) != 0 || found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino) continue;
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC) && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0) marked++;
  }
  closedir(folder);
  return Napi::Number::New(info.Env(), marked);
}

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("peerCredentials", Napi::Function::New(env, PeerCredentials));
  exports.Set("groupsOf", Napi::Function::New(env, GroupsOf));
  exports.Set("keepFromChildren", Napi::Function::New(env, KeepFromChildren));
  exports.Set("notify", Napi::Function::New(env, Notify));
});

}  // namespace
