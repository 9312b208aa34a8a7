/* Key patterns: `user:{id:int}`, and which keyspace a key belongs to.
 *
 * A closed grammar: literal text, and {name} or {name:type}. {name} is one or more bytes except ':'; types constrain
 * it; {name:rest} may hold ':' and must come last; \{ and \} are literal braces. Two parameters need literal text
 * between them. One row has one key: int takes only the canonical decimal form of a 64-bit number ("42", not "042" nor
 * "+42"), uuid and hex only lower case, date only YYYY-MM-DD of a real day. All text must be valid UTF-8 without NUL.
 *
 * Patterns may overlap only if one is strictly more literal ("user:me" beats "user:{id}"); otherwise adding the second
 * fails with a key that matches both. Compiled into one trie; matching allocates nothing. */
#ifndef FB_ROWS_PATTERN_H
#define FB_ROWS_PATTERN_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum {
    FB_PATTERN_PARAMS_MAX = 8,
    FB_PATTERN_LEN_MAX = 255,
    FB_ROUTER_KEYSPACES_MAX = 1024,
};

enum fb_param_type { FB_PARAM_TEXT, FB_PARAM_INT, FB_PARAM_UUID, FB_PARAM_HEX, FB_PARAM_DATE, FB_PARAM_REST };

struct fb_pattern {
    struct fb_pattern_part {
        bool is_param;
        enum fb_param_type type;
        char *text;          /* the literal, unescaped; or the parameter's name */
        size_t len;
    } parts[2 * FB_PATTERN_PARAMS_MAX + 1];
    unsigned nparts, nparams;
};

fb_status fb_pattern_parse(const char *text, struct fb_pattern *ret_pattern, fb_err *reterr);
void fb_pattern_finish(struct fb_pattern *pattern);
/* The pattern as text again ("user:{id:int}"), to be freed with fb_mem_free; NULL when out of memory. */
char *fb_pattern_format(const struct fb_pattern *pattern);
const char *fb_param_type_name(enum fb_param_type type);

/* Cut a key into its parameters, in the order of the pattern: FB_OK, or FB_NOMAP when it does not match. Borrowed. */
fb_status fb_pattern_match(const struct fb_pattern *pattern, fb_bytes key, fb_bytes ret_params[FB_PATTERN_PARAMS_MAX]);
/* The other way: a key from parameters. FB_BADVALUE when one does not fit its type. */
fb_status fb_pattern_render(const struct fb_pattern *pattern, const fb_bytes *params, fb_buf *out);

/* Many patterns in one trie. Immutable while it is asked. */
struct fb_router;
struct fb_router *fb_router_create(void);
struct fb_router *fb_router_destroy(struct fb_router *router); /* NULL accepted; returns NULL */
/* Number `id` for a pattern. FB_CONFIG: ambiguous with another; the error names a key that both match. */
fb_status fb_router_add(struct fb_router *router, const struct fb_pattern *pattern, int id, fb_err *reterr);
/* The id of the most literal pattern that matches, or −1. */
int fb_router_find(const struct fb_router *router, fb_bytes key);

#endif
