/* What the tests of conf/ share: a configuration from a text, and its faults as text. Each case has a folder of its
 * own; the environment holds no FOREBAY_ variables but those a test sets. */
#ifndef CONF_CASE_H
#define CONF_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/details.h"
#include "conf/tree.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char case_folder[64];

static inline const char *case_path(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", case_folder, name);
    return path;
}

static inline const char *case_write(const char *name, const void *data, size_t len, unsigned mode) {
    const char *path = case_path(name);
    (void)unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, (mode_t)mode), 0);
    return path;
}

static inline int case_setup(void **state) {
    (void)state;
    snprintf(case_folder, sizeof case_folder, "/tmp/forebay-conf-XXXXXX");
    return mkdtemp(case_folder) != NULL ? 0 : -1;
}

static inline int case_teardown(void **state) {
    static const char *const names[] = {"f.yaml", "again.yaml", "secret", "open", "shop.db", "credential"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        (void)unlink(case_path(names[i]));
    return rmdir(case_folder);
}

/* Load a text as f.yaml. */
static inline struct fb_conf *case_load_bytes(const char *text, size_t len, fb_status *ret_status) {
    struct fb_conf *conf = NULL;
    struct fb_conf_args args = {.path = case_write("f.yaml", text, len, 0600)};
    fb_err err = {0};
    *ret_status = fb_conf_load(&args, &conf, &err);
    return conf;
}

static inline struct fb_conf *case_load(const char *text, fb_status *ret_status) {
    return case_load_bytes(text, strlen(text), ret_status);
}

/* What a function prints, to be freed. */
#define CASE_PRINTED(out_, call_)                                                                                      \
    __extension__({                                                                                                    \
        char *printed_ = NULL;                                                                                         \
        size_t printed_len_ = 0;                                                                                       \
        FILE *out_ = open_memstream(&printed_, &printed_len_);                                                         \
        assert_non_null(out_);                                                                                         \
        call_;                                                                                                         \
        assert_int_equal(fclose(out_), 0);                                                                             \
        printed_;                                                                                                      \
    })

/* "3:15 unit; 4:1 range", in the order in which they are printed; warnings as "w 3:1 unused". */
static inline char *case_faults(const struct fb_conf *conf) {
    const struct fb_conf_details *d = conf->details;
    free(CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT)));
    return CASE_PRINTED(out, for (size_t i = 0; i < d->ndiagnostics; i++) {
        const struct fb_diagnostic *g = &d->diagnostics[i];
        fprintf(out, "%s%s%d:%d %s", i > 0 ? "; " : "", g->severity == FB_SEVERITY_WARNING ? "w " : "", g->at.line,
                g->at.col, g->code);
    });
}

#endif
