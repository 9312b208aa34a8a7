/* What a configuration remembers beside its values: where each came from, and everything that is wrong. conf's own.
 *
 * An object is one section's settings: the server, a source, a class, a keyspace. `data` is the scope's struct; each of
 * the scope's settings has an origin. Everything lives in the arena. */
#ifndef FB_CONF_DETAILS_H
#define FB_CONF_DETAILS_H

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/settings.h"
#include "conf/text.h"
#include "tbl/diagnostics.h"

/* Later ones win. */
enum fb_origin_kind {
    FB_ORIGIN_DEFAULT, FB_ORIGIN_CLASS, FB_ORIGIN_FILE, FB_ORIGIN_ENVIRONMENT, FB_ORIGIN_FLAG, FB_ORIGIN_COMMAND,
};

/* The file's line, column and width are counted from 1 in characters. For the others `given` is the line to show, and
 * col and width say where the value stands in it. */
struct fb_origin {
    enum fb_origin_kind kind;
    int line, col, width;
    const char *name;       /* the variable, the flag, the class */
    const char *given;
    const char *reference;  /* where a secret is kept */
    uint64_t print;         /* of a secret: tells another one, also when the secret itself has been wiped */
    const struct fb_origin *items; /* of a list in the file: one for each item */
    bool is_wrong;          /* the value did not fit; the default stands in its place */
};

struct fb_object {
    enum fb_scope scope;
    const char *name;            /* NULL: the server, the store */
    void *data;
    struct fb_origin *origins;   /* one per setting of the scope, in the table's order */
    struct fb_origin where;      /* its own key */
    bool is_used;                /* something refers to it */
};

enum fb_severity { FB_SEVERITY_ERROR, FB_SEVERITY_WARNING };

struct fb_diagnostic {
    enum fb_severity severity;
    struct fb_origin at;
    const char *code, *text, *help;
    unsigned sequence;           /* in which order they were found */
};

enum fb_stage {
#define FB_STAGE_ENUM_(stage, name) FB_STAGE_##stage,
    FB_DIAGNOSTIC_STAGES(FB_STAGE_ENUM_)
#undef FB_STAGE_ENUM_
};

/* A row of tbl/diagnostics.h. */
struct fb_diagnostic_row {
    const char *code;
    enum fb_severity severity;
    enum fb_stage stage;
    const char *text;
};
/* NULL: there is no such code. */
const struct fb_diagnostic_row *fb_diagnostic_find(const char *code);

enum { FB_DIAGNOSTICS_MAX = 200 }; /* nobody reads more; the rest is counted */

struct fb_conf_details {
    struct fb_arena arena;
    struct fb_text text;
    struct fb_diagnostic *diagnostics;
    size_t ndiagnostics, diagnostics_cap;
    unsigned nerrors, nwarnings, nunshown;
    struct fb_object **objects;  /* the server first */
    size_t nobjects, objects_cap;
    struct fb_object *server;
};

/* Add a diagnostic; fb_help says what to do about the last one. */
void fb_fault(struct fb_conf_details *d, const struct fb_origin *at, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void fb_warn(struct fb_conf_details *d, const struct fb_origin *at, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void fb_help(struct fb_conf_details *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replace by *** what may be a secret in a line that is shown: behind "password:" and its kin (unless it says where the
 * secret is kept), and between ':' and '@' of a URL. In place; the line never grows. */
void fb_mask_secrets(char *line);
/* As a JSON string. */
void fb_print_quoted(FILE *out, const char *text);

/* Objects are made on first mention. NULL: out of memory, or too many (which is then a diagnostic). */
struct fb_object *fb_object_find(const struct fb_conf_details *d, enum fb_scope scope, const char *name);
struct fb_object *fb_object_get(struct fb_conf_details *d, enum fb_scope scope, const char *name,
                                const struct fb_origin *where);
/* The origin of one setting; `name` must be one of the scope's. */
struct fb_origin *fb_object_origin(const struct fb_object *object, const char *name);
static inline bool fb_object_has(const struct fb_object *object, const char *name) {
    return fb_object_origin(object, name)->kind != FB_ORIGIN_DEFAULT;
}

/* Type the items and store them with their origin; what does not fit becomes a diagnostic at `at` (of a list: at
 * ats[item], when ats is given). */
void fb_object_assign(struct fb_conf_details *d, struct fb_object *object, const struct fb_setting *setting,
                      const char *const *items, size_t n, const struct fb_origin *at, const struct fb_origin *ats);
/* A name after a dot or in a section: says what is wrong with it. */
void fb_unknown_setting(struct fb_conf_details *d, enum fb_scope scope, const char *name, const struct fb_origin *at);

/* Empty but for the server's object. FB_NOMEM. */
fb_status fb_conf_new(struct fb_conf **ret_conf);
/* Lay the objects out as the arrays that users of a conf walk; from here on objects point into them. */
void fb_conf_lay_out(struct fb_conf *conf);

/* The stages of fb_conf_load after the file, in their order. */
void fb_conf_read_environment(struct fb_conf *conf);
void fb_conf_read_flags(struct fb_conf *conf, const struct fb_conf_args *args);
void fb_conf_fill_defaults(struct fb_conf *conf);
void fb_conf_check(struct fb_conf *conf);

#endif
