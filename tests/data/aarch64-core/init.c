// The first process of the machine: lets /usr/bin/example crash and writes its core to the console,
// in base64.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void write_base64(const char* path) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned char bytes[48];
  size_t count;
  FILE* file = fopen(path, "r");
  puts("BEGIN CORE");
  while (file != NULL && (count = fread(bytes, 1, sizeof(bytes), file)) > 0) {
    for (size_t i = 0; i < count; i += 3) {
      const unsigned group = (unsigned)bytes[i] << 16 | (i + 1 < count ? bytes[i + 1] << 8 : 0) |
                             (i + 2 < count ? bytes[i + 2] : 0);
      putchar(digits[group >> 18]);
      putchar(digits[group >> 12 & 63]);
      putchar(i + 1 < count ? digits[group >> 6 & 63] : '=');
      putchar(i + 2 < count ? digits[group & 63] : '=');
    }
    putchar('\n');
  }
  puts("END CORE");
  fflush(stdout);
}

int main(void) {
  const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  mount("proc", "/proc", "proc", 0, NULL);
  setrlimit(RLIMIT_CORE, &unlimited);
  const int pattern = open("/proc/sys/kernel/core_pattern", O_WRONLY);
  if (pattern < 0 || write(pattern, "/core", 5) != 5) puts("no core_pattern");
  if (fork() == 0) {
    execl("/usr/bin/example", "example", "CANARY-ARGUMENT", (char*)NULL);
    _exit(1);
  }
  wait(NULL);
  write_base64("/core");
  tcdrain(1);
  reboot(RB_POWER_OFF);
  return 0;
}
