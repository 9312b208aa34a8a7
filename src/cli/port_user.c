/* Which process listens on a TCP port?
 *
 * /proc/net/tcp names the socket of each listener by inode; the process that has /proc/PID/fd/N -> socket:[inode] owns
 * it. Walking them costs milliseconds and happens only when a start has failed. */
#include "cli/port_user.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LISTENING = 0x0a };

static unsigned long inode_in(const char *path, unsigned port) {
    char line[512];
    unsigned long found = 0;
    FILE *table = fopen(path, "re");
    if (table == NULL)
        return 0;
    while (found == 0 && fgets(line, sizeof line, table) != NULL) {
        unsigned local, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu", &local, &state,
                   &inode) == 3 &&
            local == port && state == LISTENING)
            found = inode;
    }
    (void)fclose(table);
    return found;
}

static bool process_has(const char *pid, const char *socket) {
    char path[300], target[64];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;) {
        char link[600];
        snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (len > 0) {
            target[len] = '\0';
            found = strcmp(target, socket) == 0;
        }
    }
    (void)closedir(dir);
    return found;
}

static void name_of(const char *pid, char *out, size_t size) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *file = fopen(path, "re");
    snprintf(out, size, "a process");
    if (file == NULL)
        return;
    if (fgets(out, (int)size, file) != NULL)
        out[strcspn(out, "\n")] = '\0';
    (void)fclose(file);
}

bool fb_port_user(unsigned port, char *ret_text, size_t size) {
    unsigned long inode = inode_in("/proc/net/tcp", port);
    if (inode == 0)
        inode = inode_in("/proc/net/tcp6", port);
    DIR *proc = inode != 0 ? opendir("/proc") : NULL;
    if (proc == NULL)
        return false;
    char socket[64], name[64];
    bool found = false;
    snprintf(socket, sizeof socket, "socket:[%lu]", inode);
    for (struct dirent *entry; !found && (entry = readdir(proc)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !process_has(entry->d_name, socket))
            continue;
        name_of(entry->d_name, name, sizeof name);
        snprintf(ret_text, size, "%s (pid %.20s)", name, entry->d_name);
        found = true;
    }
    (void)closedir(proc);
    return found;
}
