/* The configuration file as text: its lines, and what no YAML file may contain.
 *
 * Lines end where YAML ends them (LF, CR, CR LF, NEL, LS, PS), so that libyaml's positions and ours agree. */
#ifndef FB_CONF_TEXT_H
#define FB_CONF_TEXT_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "conf/arena.h"

enum { FB_CONF_FILE_MAX = 1 << 20 };

struct fb_conf_details;

struct fb_text {
    const char *path;     /* NULL: no file */
    const char *data;
    size_t len;
    size_t *starts;       /* where each line begins */
    size_t nlines, lines_cap;
};

/* Read the file and look at its bytes; faults become diagnostics. False: it cannot be parsed. */
bool fb_text_read(struct fb_conf_details *d, const char *path);
/* A line without its end, counted from 1; empty beyond the file. */
fb_bytes fb_text_line(const struct fb_text *text, int line);
/* Line and column (in characters, from 1) of a byte. */
void fb_text_position(const struct fb_text *text, size_t at, int *ret_line, int *ret_col);

#endif
