/* A redis-server of an example's own: on a unix socket in the example's directory, gone with the example. */
#ifndef EXAMPLE_PRIVATE_REDIS_H
#define EXAMPLE_PRIVATE_REDIS_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "example.h"

enum { SKIPPED = 77 }; /* an exit status that Meson knows */

struct private_redis {
    pid_t pid;
    char path[96], url[112];
};

static inline int private_redis_connect(const struct private_redis *r) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", r->path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

/* What any client gets for a command in one line: the first reply, as it came. */
static inline const char *private_redis_ask(const struct private_redis *r, const char *line) {
    static char reply[1024];
    int fd = private_redis_connect(r);
    ssize_t n = -1;
    if (fd >= 0 && dprintf(fd, "%s\r\n", line) > 0)
        n = read(fd, reply, sizeof reply - 1);
    close(fd);
    reply[n > 0 ? n : 0] = '\0';
    return reply;
}

/* Ends the example where there is no redis-server to start. */
static inline void private_redis_begin(struct example *e, struct private_redis *r) {
    snprintf(r->path, sizeof r->path, "%s/redis", e->directory);
    snprintf(r->url, sizeof r->url, "unix://%s", r->path);
    r->pid = fork();
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Debian's redis-tools alone have the program too: redis-check-rdb, which goes by the name it is called by. */
        const char *const argv[] = {"redis-server", "--port", "0", "--unixsocket", r->path, "--save", "", "--dir",
                                    e->directory, "--logfile", "/dev/null", NULL};
        execvp("redis-server", (char *const *)(const void *)argv);
        execvp("redis-check-rdb", (char *const *)(const void *)argv);
        _exit(127);
    }
    while (strncmp(private_redis_ask(r, "PING"), "+PONG", 5) != 0) {
        if (waitpid(r->pid, NULL, WNOHANG) == r->pid) {
            printf("  skipped: there is no redis-server (Debian: redis-server)\n");
            (void)example_end(e);
            exit(SKIPPED);
        }
        usleep(1000);
    }
}

static inline void private_redis_end(struct private_redis *r) {
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    unlink(r->path);
}

#endif
