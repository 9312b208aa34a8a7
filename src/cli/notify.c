/* Telling the service manager how it goes. */
#include "cli/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    MESSAGE_MAX = 1024,
    STATUS_MS = 10000, /* between two lines of STATUS */
};

/* A path, or '@' and a name in the abstract namespace. False: there is none, or it is no such address. */
static bool find_socket(struct sockaddr_un *ret_address, socklen_t *ret_len) {
    const char *name = getenv("NOTIFY_SOCKET");
    size_t len = name != NULL ? strlen(name) : 0;
    if (len < 2 || (name[0] != '/' && name[0] != '@') || len >= sizeof ret_address->sun_path)
        return false;
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, name, len);
    if (name[0] == '@')
        ret_address->sun_path[0] = '\0';
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    return true;
}

void fb_notify(const char *format, ...) {
    char message[MESSAGE_MAX];
    struct sockaddr_un address;
    socklen_t len;
    if (!find_socket(&address, &len))
        return;
    va_list list;
    va_start(list, format);
    int size = vsnprintf(message, sizeof message, format, list);
    va_end(list);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (size > 0 && (size_t)size < sizeof message)
        (void)!sendto(fd, message, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, len);
    close(fd);
}

void fb_notify_reloading(void) {
    fb_notify("RELOADING=1\nMONOTONIC_USEC=%" PRId64, fb_clock_now().ns / 1000);
}

static int64_t number_of(const char *variable) {
    const char *text = getenv(variable);
    return text != NULL ? strtoll(text, NULL, 10) : 0;
}

int64_t fb_notify_interval_ms(void) {
    struct sockaddr_un address;
    socklen_t len;
    int64_t watchdog_ms = number_of("WATCHDOG_USEC") / 1000, pid = number_of("WATCHDOG_PID");
    if (!find_socket(&address, &len))
        return 0;
    if (watchdog_ms < 2 || (pid != 0 && pid != getpid()) || watchdog_ms / 2 > STATUS_MS)
        return STATUS_MS;
    return watchdog_ms / 2;
}
