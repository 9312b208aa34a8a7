/* The private Redis: its directory and lock, the process, and the thread that looks after it.
 *
 * That thread is the one that forks: the kernel's signal to a child comes when the thread that made it ends. */
#include "cli/private_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/log.h"

enum {
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 5000,
    WELL_SECONDS = 10,
    LOOK_MS = 20,        /* between looks at what tells nobody when it changes */
    REAP_MS = 200,       /* the same for the process, where the system has no descriptors for processes */
    PASSWORD_BYTES = 32,
    CONFIG_MAX = 1024,   /* less than a pipe takes at once */
    LOCK_FD = 3,         /* in the child */
    DIR_MAX = sizeof((struct sockaddr_un *)0)->sun_path - sizeof "/redis.sock" + 1,
};

static const char *const programs[] = {"redis-server", "valkey-server"};
#define SOCKET_NAME "redis.sock"

struct fb_private_store {
    char dir[DIR_MAX];
    char program[PATH_MAX];
    char url[DIR_MAX + 2 * PASSWORD_BYTES + 64];
    char config[CONFIG_MAX];
    int lock;
    int wake[2];            /* written to: stop */
    pthread_t thread;
    _Atomic pid_t pid;      /* 0: none now */
};

static int64_t ms_since(fb_instant then) { return fb_span_ms(fb_since(fb_clock_now(), then)); }

/* ---- finding, and making room for it ------------------------------------------------------------------------------ */

static bool find_in(const char *folder, size_t len, const char *name, char out[PATH_MAX]) {
    int n = len > 0 ? snprintf(out, PATH_MAX, "%.*s/%s", (int)len, folder, name) : -1;
    return n > 0 && n < PATH_MAX && out[0] == '/' && access(out, X_OK) == 0;
}

static bool find_program(char out[PATH_MAX]) {
    const char *path = getenv("PATH");
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        for (const char *at = path; *at != '\0';) {
            size_t len = strcspn(at, ":");
            if (find_in(at, len, programs[i], out))
                return true;
            at += len + (at[len] == ':');
        }
    return false;
}

/* Ours, and nobody else may enter. */
static fb_status make_dir(const char *path, bool is_private, fb_err *reterr) {
    struct stat found;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fb_fail(reterr, FB_SYSTEM, "cannot make the directory '%s': %s", path, strerror(errno));
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode))
        return fb_fail(reterr, FB_SYSTEM, "'%s' is no directory", path);
    if (is_private && (found.st_uid != geteuid() || ((found.st_mode & 0777) != 0700 && chmod(path, 0700) != 0)))
        return fb_fail(reterr, FB_SYSTEM, "'%s' belongs to somebody else", path);
    return FB_OK;
}

static fb_status take_lock(struct fb_private_store *s, fb_err *reterr) {
    char path[DIR_MAX + 16];
    fb_instant begin = fb_clock_now();
    snprintf(path, sizeof path, "%s/lock", s->dir);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0)
        return fb_fail(reterr, FB_SYSTEM, "cannot open '%s': %s", path, strerror(errno));
    while (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
        if (ms_since(begin) > FB_PRIVATE_LOCK_MS)
            return fb_fail(reterr, FB_SYSTEM, "'%s' is in use by another Forebay, or by the Redis of one that ended; "
                           "give this one another server.state_dir", s->dir);
        fb_clock_sleep(fb_ms(LOOK_MS));
    }
    return FB_OK;
}

static void print_config(struct fb_private_store *s, uint64_t memory_max) {
    unsigned char random[PASSWORD_BYTES];
    char password[2 * PASSWORD_BYTES + 1];
    fb_rng_system(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(password + 2 * i, 3, "%02x", random[i]);
    snprintf(s->config, sizeof s->config,
             "port 0\nunixsocket " SOCKET_NAME "\nunixsocketperm 700\nlogfile redis.log\n"
             "save \"\"\nappendonly yes\nappendfsync everysec\n"
             "maxmemory %llu\nmaxmemory-policy volatile-lru\n"
             "user default off\nuser forebay on >%s ~* &* +@all\n",
             (unsigned long long)memory_max, password);
    snprintf(s->url, sizeof s->url, "unix://forebay:%s@%s/" SOCKET_NAME, password, s->dir);
    explicit_bzero(password, sizeof password);
    explicit_bzero(random, sizeof random);
}

/* ---- the process -------------------------------------------------------------------------------------------------- */

/* In the child: nothing but system calls, since other threads may hold any lock. */
static _Noreturn void become(const struct fb_private_store *s, int config, int log, pid_t parent) {
    char *argv[] = {(char *)s->program, (char *)"-", NULL}, *environment[] = {NULL};
    sigset_t none;
    (void)setpgid(0, 0); /* Ctrl-C is for Forebay, which stops this one last */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(127);
    sigemptyset(&none);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    umask(0077);
    if (dup2(config, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(s->lock, LOCK_FD) < 0 ||
        fcntl(LOCK_FD, F_SETFD, 0) != 0 || chdir(s->dir) != 0)
        _exit(127);
    (void)close_range(LOCK_FD + 1, ~0U, 0);
    (void)execve(s->program, argv, environment);
    _exit(127);
}

static int open_log(const struct fb_private_store *s) {
    char path[DIR_MAX + 16];
    struct stat found;
    snprintf(path, sizeof path, "%s/redis.log", s->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fstat(fd, &found) == 0 && found.st_size > FB_PRIVATE_LOG_MAX)
        (void)ftruncate(fd, 0);
    return fd;
}

/* A process that reads its configuration from a pipe; −1 and errno. */
static pid_t spawn(const struct fb_private_store *s) {
    int config[2], log = open_log(s);
    pid_t pid = -1, parent = getpid();
    if (log < 0)
        return -1;
    if (pipe2(config, O_CLOEXEC) != 0) {
        close(log);
        return -1;
    }
    size_t len = strlen(s->config);
    if (write(config[1], s->config, len) == (ssize_t)len)
        pid = fork();
    if (pid == 0)
        become(s, config[0], log, parent);
    close(config[0]);
    close(config[1]);
    close(log);
    return pid;
}

static bool can_connect(const struct fb_private_store *s) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/" SOCKET_NAME, s->dir);
    bool can = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return can;
}

/* ---- looking after it --------------------------------------------------------------------------------------------- */

static bool is_asked_to_stop(const struct fb_private_store *s, int wait_ms) {
    struct pollfd wake = {.fd = s->wake[0], .events = POLLIN};
    return poll(&wake, 1, wait_ms) > 0;
}

/* It has ended (true), or somebody asked to stop. */
static bool await_end(const struct fb_private_store *s, pid_t pid, int *ret_status) {
    int fd = pidfd_open(pid, 0);
    bool has_ended = false;
    for (;;) {
        struct pollfd both[] = {{.fd = s->wake[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        has_ended = waitpid(pid, ret_status, WNOHANG) == pid;
        if (has_ended || both[0].revents != 0)
            break;
        (void)poll(both, 2, fd >= 0 ? -1 : REAP_MS);
        if (both[0].revents != 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    return has_ended;
}

static void end(pid_t pid) {
    fb_instant begin = fb_clock_now();
    (void)kill(pid, SIGTERM);
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (ms_since(begin) > FB_PRIVATE_STOP_MS)
            (void)kill(pid, SIGKILL);
        fb_clock_sleep(fb_ms(LOOK_MS));
    }
}

static void describe_end(int status, char *out, size_t size) {
    if (WIFSIGNALED(status))
        snprintf(out, size, "signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

static void log_end(const struct fb_private_store *s, const char *how, int64_t pause_ms) {
    char message[DIR_MAX + 200], ms[24];
    snprintf(ms, sizeof ms, "%lld", (long long)pause_ms);
    snprintf(message, sizeof message, "the private Redis ended (%s) and is started again in %s ms; see %s/redis.log", how,
             ms, s->dir);
    fb_log(FB_LOG_STORE_ENDED, message, FB_LOG_FIELDS({"how", how}, {"pause_ms", ms}, {"data", s->dir}));
}

static void *look_after(void *arg) {
    struct fb_private_store *s = arg;
    int64_t pause_ms = 0;
    do {
        char how[80];
        int status = 0;
        fb_instant begin = fb_clock_now();
        pid_t pid = spawn(s);
        atomic_store(&s->pid, pid > 0 ? pid : 0);
        if (pid > 0 && !await_end(s, pid, &status)) {
            end(pid);
            break;
        }
        atomic_store(&s->pid, 0);
        if (pid > 0)
            describe_end(status, how, sizeof how);
        else
            snprintf(how, sizeof how, "it cannot be started: %s", strerror(errno));
        bool was_well = pid > 0 && ms_since(begin) > (int64_t)WELL_SECONDS * 1000;
        pause_ms = was_well || pause_ms == 0 ? PAUSE_FIRST_MS : pause_ms < PAUSE_MAX_MS / 2 ? 2 * pause_ms : PAUSE_MAX_MS;
        log_end(s, how, pause_ms);
    } while (!is_asked_to_stop(s, (int)pause_ms));
    return NULL;
}

static void await_ready(const struct fb_private_store *s) {
    char message[DIR_MAX + 80], pid[24];
    fb_instant begin = fb_clock_now();
    while (!can_connect(s) && ms_since(begin) < FB_PRIVATE_READY_MS)
        fb_clock_sleep(fb_ms(LOOK_MS));
    snprintf(pid, sizeof pid, "%ld", (long)atomic_load(&s->pid));
    snprintf(message, sizeof message, "the private Redis %s; its data is in %s",
             can_connect(s) ? "is ready" : "is not ready yet", s->dir);
    fb_log(FB_LOG_STORE_STARTED, message, FB_LOG_FIELDS({"program", s->program}, {"pid", pid}, {"data", s->dir}));
}

/* ---- beginning and end -------------------------------------------------------------------------------------------- */

static void discard(struct fb_private_store *s) {
    if (s->lock >= 0)
        close(s->lock);
    for (int i = 0; i < 2; i++)
        if (s->wake[i] >= 0)
            close(s->wake[i]);
    explicit_bzero(s, sizeof *s);
    fb_mem_free(s);
}

static fb_status prepare(struct fb_private_store *s, const char *state_dir, uint64_t memory_max, fb_err *reterr) {
    char whole[PATH_MAX];
    if (!find_program(s->program))
        return fb_fail(reterr, FB_NOTFOUND, "neither redis-server nor valkey-server is installed (Debian's package: "
                       "redis-server)");
    fb_status status = make_dir(state_dir, false, reterr);
    if (status != FB_OK)
        return status;
    if (realpath(state_dir, whole) == NULL)
        return fb_fail(reterr, FB_SYSTEM, "'%s': %s", state_dir, strerror(errno));
    if (strlen(whole) + sizeof "/store" > DIR_MAX)
        return fb_fail(reterr, FB_SYSTEM, "the path of server.state_dir is too long for a socket in it: '%s'", whole);
    snprintf(s->dir, sizeof s->dir, "%.*s/store", (int)(DIR_MAX - sizeof "/store"), whole);
    status = make_dir(s->dir, true, reterr);
    if (status == FB_OK)
        status = take_lock(s, reterr);
    print_config(s, memory_max);
    if (status == FB_OK && pipe2(s->wake, O_CLOEXEC) != 0)
        status = fb_fail(reterr, FB_SYSTEM, "no pipe for the private Redis: %s", strerror(errno));
    return status;
}

fb_status fb_private_store_start(const char *state_dir, uint64_t memory_max, struct fb_private_store **ret_store,
                                 fb_err *reterr) {
    struct fb_private_store *s = fb_mem_calloc(1, sizeof *s);
    if (s == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the private Redis");
    s->lock = s->wake[0] = s->wake[1] = -1;
    fb_status status = prepare(s, state_dir, memory_max, reterr);
    int rc = status == FB_OK ? pthread_create(&s->thread, NULL, look_after, s) : 0;
    if (rc != 0)
        status = fb_fail(reterr, FB_SYSTEM, "no thread for the private Redis: %s", strerror(rc));
    if (status != FB_OK) {
        discard(s);
        return status;
    }
    await_ready(s);
    *ret_store = s;
    return FB_OK;
}

const char *fb_private_store_url(const struct fb_private_store *s) { return s->url; }

void fb_private_store_stop(struct fb_private_store *s) {
    if (s == NULL)
        return;
    (void)!write(s->wake[1], "", 1);
    (void)pthread_join(s->thread, NULL);
    discard(s);
}
