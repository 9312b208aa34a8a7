/* What the load generator reads besides the wire: its key ranges, and the processor time of a process. */
#include "cli/bench_load.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Decimal digits, nothing else. */
static bool take_number(const char **text, uint64_t *ret, unsigned *ret_digits) {
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    unsigned long long n = strtoull(*text, &end, 10);
    *ret_digits = (unsigned)(end - *text);
    *text = end;
    *ret = n;
    return errno == 0;
}

fb_status fb_load_keys_parse(const char *text, struct fb_load_keys *ret_keys, fb_err *reterr) {
    struct fb_load_keys k = {.width = 0};
    const char *open = strchr(text, '{'), *p = open;
    size_t prefix = open != NULL ? (size_t)(open - text) : strlen(text);
    unsigned digits = 0, last_digits = 0;
    if (prefix >= sizeof k.prefix)
        return fb_fail(reterr, FB_INVALID, "the text before the range is longer than %zu bytes", sizeof k.prefix - 1);
    memcpy(k.prefix, text, prefix);
    if (open == NULL) {
        *ret_keys = k;
        return FB_OK;
    }
    p++;
    if (!take_number(&p, &k.first, &digits) || p[0] != '.' || p[1] != '.' || (p += 2, false) ||
        !take_number(&p, &k.last, &last_digits) || *p++ != '}')
        return fb_fail(reterr, FB_INVALID, "\"%s\": a range of keys looks like user:{1..100000}", text);
    if (k.last < k.first || k.last - k.first == UINT64_MAX)
        return fb_fail(reterr, FB_INVALID, "\"%s\": the range is empty or too long", text);
    if (strchr(p, '{') != NULL || strlen(p) >= sizeof k.suffix)
        return fb_fail(reterr, FB_INVALID, "\"%s\": one range of keys, and at most %zu bytes after it", text,
                       sizeof k.suffix - 1);
    memcpy(k.suffix, p, strlen(p));
    /* As in a shell: {001..100} counts with leading zeros. */
    k.width = open[1] == '0' && digits > 1 ? digits : 1;
    *ret_keys = k;
    return FB_OK;
}

fb_span fb_load_cpu_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return (fb_span){-1};
    fb_span sum = {0};
    for (const struct dirent *e = readdir(tasks); e != NULL; e = readdir(tasks)) {
        char name[384];
        long long run_ns;
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "/proc/%ld/task/%s/schedstat", (long)pid, e->d_name);
        FILE *f = fopen(name, "re");
        if (f != NULL && fscanf(f, "%lld", &run_ns) == 1)
            sum.ns += run_ns;
        if (f != NULL)
            fclose(f);
    }
    closedir(tasks);
    return sum;
}
