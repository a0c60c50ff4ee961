// What glibc 2.28 lacks of the functions that a newer glibc's headers and GCC's C++ library ask for, linked into each
// library of a prebuilt package (scripts/glibc-stubs.ts). Hidden: nobody else in the process may get these.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

// 2.29.
HIDDEN int getcpu(unsigned* cpu, unsigned* node) { return (int)syscall(SYS_getcpu, cpu, node, 0); }

// 2.32. False sends std::shared_ptr through atomic operations always.
HIDDEN char __libc_single_threaded = 0;

// 2.33. Before, these were inline in an archive beside glibc and called the functions below.
#if defined(__x86_64__)
#define STAT_VERSION 1
#else
#define STAT_VERSION 0
#endif
int __xstat(int version, const char* path, struct stat* result);
int __lxstat(int version, const char* path, struct stat* result);
int __fxstat(int version, int file, struct stat* result);
int __fxstat64(int version, int file, struct stat64* result);
int __fxstatat(int version, int folder, const char* path, struct stat* result, int flags);

HIDDEN int stat(const char* path, struct stat* result) { return __xstat(STAT_VERSION, path, result); }
HIDDEN int lstat(const char* path, struct stat* result) { return __lxstat(STAT_VERSION, path, result); }
HIDDEN int fstat(int file, struct stat* result) { return __fxstat(STAT_VERSION, file, result); }
HIDDEN int fstat64(int file, struct stat64* result) { return __fxstat64(STAT_VERSION, file, result); }
HIDDEN int fstatat(int folder, const char* path, struct stat* result, int flags) {
  return __fxstatat(STAT_VERSION, folder, path, result, flags);
}

// 2.36. std::random_device.
HIDDEN uint32_t arc4random(void) {
  uint32_t value = 0;
  while (getentropy(&value, sizeof value) != 0 && errno == EINTR) {
  }
  return value;
}

// 2.30. Waiting by another clock than the variable's: the time left is added to the variable's own clock, which is the
// realtime clock unless its attributes say otherwise; the C++ library's do not.
HIDDEN int pthread_cond_clockwait(pthread_cond_t* variable, pthread_mutex_t* mutex, clockid_t clock,
                                  const struct timespec* until) {
  struct timespec now;
  struct timespec target;
  if (clock_gettime(clock, &now) != 0 || clock_gettime(CLOCK_REALTIME, &target) != 0) return EINVAL;
  target.tv_sec += until->tv_sec - now.tv_sec;
  target.tv_nsec += until->tv_nsec - now.tv_nsec;
  if (target.tv_nsec < 0) {
    target.tv_nsec += 1000000000;
    --target.tv_sec;
  } else if (target.tv_nsec >= 1000000000) {
    target.tv_nsec -= 1000000000;
    ++target.tv_sec;
  }
  return pthread_cond_timedwait(variable, mutex, &target);
}
