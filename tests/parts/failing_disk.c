// Between a program and the C library: file operations below one folder fail as an order file says. See failing_disk.py.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int half_written;  // a full disk takes what still fits of one write, and nothing of the next

static int inside(const char *path) {
    const char *folder = getenv("FAILING_DISK_FOLDER");
    return folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

// The error that the orders have for this call on this path, 0 for none, below 0 for a disk that does not answer. The
// file is read raw: `open` and `read` are ours.
static int looked_up(const char *call, const char *path) {
    const char *folder = getenv("FAILING_DISK_FOLDER"), *orders = getenv("FAILING_DISK_ORDERS");
    if (orders == NULL || !inside(path)) return 0;
    long file = syscall(SYS_openat, AT_FDCWD, orders, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[1024];
    long size = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    text[size > 0 ? size : 0] = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char named[32], part[256];
        int number;
        if (sscanf(line, "%31s %d %255s", named, &number, part) == 3 && strcmp(named, call) == 0 &&
            strstr(path + strlen(folder), part) != NULL)
            return number;
    }
    return 0;
}

// As above; hangs until the orders say something else.
static int ordered(const char *call, const char *path) {
    int number;
    while ((number = looked_up(call, path)) < 0) usleep(10000);
    return number;
}

static const char *path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = 0;
    return path;
}

// One line for each sync below the folder: who, what, which error, where.
static void journal(const char *call, int number, const char *path) {
    const char *folder = getenv("FAILING_DISK_FOLDER"), *book = getenv("FAILING_DISK_JOURNAL");
    if (book == NULL || !inside(path)) return;
    long file = syscall(SYS_openat, AT_FDCWD, book, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%d %s %d %s\n", (int)getpid(), call, number, path + strlen(folder));
    syscall(SYS_write, file, line, size);
    syscall(SYS_close, file);
}

static int synced(const char *call, long kernel, int file) {
    char path[PATH_MAX];
    int kept = errno, number = ordered(call, path_of(file, path));
    journal(call, number, path);
    errno = number ? number : kept;
    return number ? -1 : (int)syscall(kernel, file);
}

int fdatasync(int file) { return synced("fdatasync", SYS_fdatasync, file); }
int fsync(int file) { return synced("fsync", SYS_fsync, file); }

ssize_t write(int file, const void *data, size_t size) {
    char path[PATH_MAX];
    int kept = errno, number = ordered("write", path_of(file, path));
    errno = kept;
    if (number == 0) {
        if (inside(path)) half_written = 0;
    } else if (number == ENOSPC && size > 1 && !half_written) {
        half_written = 1;
        size /= 2;
    } else {
        errno = number;
        return -1;
    }
    return syscall(SYS_write, file, data, size);
}

static int opened(int folder, const char *path, int flags, int mode) {
    char whole[PATH_MAX];
    int kept = errno, number = 0;
    if ((flags & O_CREAT) && realpath(path, whole) == NULL && errno == ENOENT) number = ordered("create", path);
    errno = number ? number : kept;
    return number ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(last) \
    va_list more; va_start(more, last); int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0; va_end(more)

int open(const char *path, int flags, ...) { MODE(flags); return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags); return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags); return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags);
    return opened(folder, path, flags | O_LARGEFILE, mode);
}
