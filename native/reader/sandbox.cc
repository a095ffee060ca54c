// Limits, user, and the filter of system calls: see sandbox.h.
#include "sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace reader {

namespace {

constexpr uid_t kNobody = 65534;

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the filter of system calls is not written for this processor"
#endif

constexpr uint32_t kAllowed[] = {
    // The image and the socket.
    SYS_read, SYS_write, SYS_pread64, SYS_lseek, SYS_recvfrom, SYS_sendto, SYS_fstat,
    // Memory and threads.
    SYS_futex, SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise, SYS_mprotect, SYS_sched_yield, SYS_rseq,
    SYS_set_robust_list, SYS_gettid, SYS_getpid, SYS_sched_getaffinity,
    // Ends, signals, time.
    SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_sigaltstack, SYS_tgkill,
    SYS_restart_syscall, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep, SYS_getrandom, SYS_gettimeofday,
};

[[noreturn]] void Die(const char* what) {
  perror(what);
  _exit(3);
}

void Limit(int what, rlim_t value) {
  const rlimit limit{value, value};
  if (setrlimit(static_cast<__rlimit_resource_t>(what), &limit) != 0) Die("setrlimit");
}

}  // namespace

void DropRights(uint64_t memoryBytes) {
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_FSIZE, 0);
  Limit(RLIMIT_AS, memoryBytes);
  if (geteuid() == 0) {
    if (setgroups(0, nullptr) != 0) Die("setgroups");
    if (setresgid(kNobody, kNobody, kNobody) != 0) Die("setresgid");
    if (setresuid(kNobody, kNobody, kNobody) != 0) Die("setresuid");
  }
  if (prctl(PR_SET_DUMPABLE, 0) != 0) Die("prctl(PR_SET_DUMPABLE)");
  // The agent's death ends it, also where the socket is held by somebody else.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Die("prctl(PR_SET_PDEATHSIG)");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Die("prctl(PR_SET_NO_NEW_PRIVS)");
}

void AllowOnlyReading() {
  std::vector<sock_filter> filter;
  auto load = [&](size_t at) {
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(at)));
  };
  load(offsetof(seccomp_data, arch));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  load(offsetof(seccomp_data, nr));
  for (uint32_t number : kAllowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) Die("seccomp");
}

}  // namespace reader
