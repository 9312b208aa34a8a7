/* Preloaded into a server under test: fdatasync fails while the file that FAILING_SYNC names is there. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd) {
    const char *name = getenv("FAILING_SYNC");
    if (name != NULL && access(name, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
