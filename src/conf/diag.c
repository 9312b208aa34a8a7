/* Everything that is wrong, said in one go and in one form. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/details.h"
#include "base/utf8.h"

enum { SHOWN_COLUMNS = 160 }; /* of a source line */

static const struct fb_diagnostic_row rows[] = {
#define ROW(code, severity, stage, text) {code, FB_SEVERITY_##severity, FB_STAGE_##stage, text},
    FB_DIAGNOSTICS(ROW)
#undef ROW
};
enum { ROWS = sizeof rows / sizeof rows[0] };

const struct fb_diagnostic_row *fb_diagnostic_find(const char *code) {
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].code, code) == 0)
            return &rows[i];
    return NULL;
}

static const char *stage_name(enum fb_stage stage) {
    static const char *const names[] = {
#define ROW(stage, name) name,
        FB_DIAGNOSTIC_STAGES(ROW)
#undef ROW
    };
    return names[stage];
}

void fb_conf_print_codes(FILE *out) {
    static const char *const asks[] = {"what the file is as text", "what the settings say, without asking a database",
                                       "what the databases say"};
    fputs("# What can be wrong with a configuration\n\n"
          "<!-- Printed by `forebay reference diagnostics`. -->\n\n"
          "`forebay check` says everything of a stage at once, each fault as `file:line:column: error[code]: what is\n"
          "wrong` with the line, a caret and one `help:` line. A later stage begins when the one before has no error.\n"
          "Warnings are errors with `--strict`. `--json` prints the same as objects with `stage`, `severity`, `code`,\n"
          "`file`, `line`, `column`, `message` and `help`.\n", out);
    for (unsigned stage = 0; stage < sizeof asks / sizeof asks[0]; stage++) {
        fprintf(out, "\n## Stage %u, %s: %s\n\n| code | severity | said when |\n|---|---|---|\n", stage + 1,
                stage_name((enum fb_stage)stage), asks[stage]);
        for (size_t i = 0; i < ROWS; i++)
            if (rows[i].stage == (enum fb_stage)stage)
                fprintf(out, "| `%s` | %s | %s |\n", rows[i].code,
                        rows[i].severity == FB_SEVERITY_ERROR ? "error" : "warning", rows[i].text);
    }
}

/* ---- collecting ------------------------------------------------------------------------------------------------- */

/* Bytes of the file and of the database end up in messages: nothing in them may steer a terminal. */
static void clean(char *text) {
    for (char *p = text, *end = text + strlen(text); p < end;) {
        unsigned step = fb_utf8_step(p, end);
        bool is_c1 = step == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0;
        if (step == 0 || is_c1 || (step == 1 && ((unsigned char)*p < ' ' || *p == 0x7f)))
            memset(p, *p == '\n' || *p == '\t' ? ' ' : '?', step > 0 ? step : 1);
        p += step > 0 ? step : 1;
    }
}

static void add(struct fb_conf_details *d, enum fb_severity severity, const struct fb_origin *at, const char *code,
                const char *format, va_list list) {
    assert(fb_diagnostic_find(code) != NULL && fb_diagnostic_find(code)->severity == severity);
    *(severity == FB_SEVERITY_ERROR ? &d->nerrors : &d->nwarnings) += 1;
    if (d->ndiagnostics == FB_DIAGNOSTICS_MAX) {
        d->nunshown++;
        return;
    }
    struct fb_diagnostic *all =
        fb_arena_grow(&d->arena, d->diagnostics, d->ndiagnostics, &d->diagnostics_cap, sizeof *all);
    char *text = fb_arena_vformat(&d->arena, format, list);
    if (all == NULL || text == NULL)
        return;
    clean(text);
    d->diagnostics = all;
    all[d->ndiagnostics] = (struct fb_diagnostic){severity, *at, code, text, "", (unsigned)d->ndiagnostics};
    d->ndiagnostics++;
}

void fb_fault(struct fb_conf_details *d, const struct fb_origin *at, const char *code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    add(d, FB_SEVERITY_ERROR, at, code, format, list);
    va_end(list);
}

void fb_warn(struct fb_conf_details *d, const struct fb_origin *at, const char *code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    add(d, FB_SEVERITY_WARNING, at, code, format, list);
    va_end(list);
}

void fb_help(struct fb_conf_details *d, const char *format, ...) {
    if (d->ndiagnostics == 0 || d->nunshown > 0)
        return;
    va_list list;
    va_start(list, format);
    char *text = fb_arena_vformat(&d->arena, format, list);
    va_end(list);
    if (text == NULL)
        return;
    clean(text);
    d->diagnostics[d->ndiagnostics - 1].help = text;
}

/* ---- secrets in lines that are shown ---------------------------------------------------------------------------- */

static void mask(char *from, char *to) {
    size_t len = (size_t)(to - from);
    if (len == 0)
        return;
    size_t stars = len < 3 ? len : 3;
    memset(from, '*', stars);
    memmove(from + stars, to, strlen(to) + 1);
}

static void mask_passwords(char *line) {
    static const char *const words[] = {"password", "requirepass", "PASSWORD"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (char *p = line; (p = strstr(p, words[i])) != NULL;) {
            p += strlen(words[i]);
            while (*p == '"' || *p == '\'')
                p++;
            if (*p != ':' && *p != '=' && *p != ' ')
                continue;
            p += strspn(p, ":= \t\"'");
            size_t len = strlen(p);
            if (len > 0 && *p != '#' && !fb_secret_is_reference(p))
                mask(p, p + len);
        }
}

void fb_mask_secrets(char *line) {
    for (char *p = line; (p = strstr(p, "://")) != NULL;) {
        p += 3;
        char *end = p + strcspn(p, "/?# \t\"'"), *at = memrchr(p, '@', (size_t)(end - p));
        char *colon = at != NULL ? memchr(p, ':', (size_t)(at - p)) : NULL;
        if (colon != NULL)
            mask(colon + 1, at);
    }
    mask_passwords(line);
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

static int by_position(const void *left, const void *right) {
    const struct fb_diagnostic *a = left, *b = right;
    if (a->at.kind != b->at.kind)
        return a->at.kind < b->at.kind ? -1 : 1;
    if (a->at.kind == FB_ORIGIN_FILE && a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    if (a->at.kind == FB_ORIGIN_FILE && a->at.col != b->at.col)
        return a->at.col < b->at.col ? -1 : 1;
    return a->sequence < b->sequence ? -1 : 1;
}

static const char *label_of(const struct fb_conf_details *d, const struct fb_origin *at) {
    switch (at->kind) {
    case FB_ORIGIN_FILE: return d->text.path;
    case FB_ORIGIN_ENVIRONMENT: return "environment";
    case FB_ORIGIN_FLAG: return "command line";
    case FB_ORIGIN_COMMAND: return "CONFIG SET";
    case FB_ORIGIN_DEFAULT:
    case FB_ORIGIN_CLASS: break;
    }
    return d->text.path != NULL ? d->text.path : "command line";
}

/* The line to show, masked and cut; and how many columns and bytes stand before the caret. */
static bool shown_line(const struct fb_conf_details *d, const struct fb_origin *at, char *ret_line, size_t size) {
    fb_bytes line = at->kind == FB_ORIGIN_FILE ? fb_text_line(&d->text, at->line)
                                               : FB_STR(at->given != NULL ? at->given : "");
    if (line.len == 0 || (at->kind == FB_ORIGIN_FILE && at->line == 0))
        return false;
    size_t columns = 0, len = 0;
    while (len < line.len && columns < SHOWN_COLUMNS) {
        unsigned step = fb_utf8_step(line.data + len, line.data + line.len);
        step = step > 0 ? step : 1;
        if (len + step >= size)
            break;
        memcpy(ret_line + len, line.data + len, step);
        len += step;
        columns++;
    }
    ret_line[len] = '\0';
    fb_mask_secrets(ret_line);
    clean(ret_line);
    return at->col <= SHOWN_COLUMNS;
}

static void print_text(const struct fb_conf_details *d, const struct fb_diagnostic *g, FILE *out, bool with_colour) {
    const char *strong = with_colour ? "\033[1m" : "", *off = with_colour ? "\033[0m" : "";
    const char *tint = !with_colour ? "" : g->severity == FB_SEVERITY_ERROR ? "\033[1;31m" : "\033[1;33m";
    char line[SHOWN_COLUMNS * 4 + 1];
    fprintf(out, "%s%s", strong, label_of(d, &g->at));
    if (g->at.kind == FB_ORIGIN_FILE && g->at.line > 0)
        fprintf(out, ":%d:%d", g->at.line, g->at.col);
    fprintf(out, ": %s%s[%s]%s: %s\n", tint, g->severity == FB_SEVERITY_ERROR ? "error" : "warning", g->code, off,
            g->text);
    if (shown_line(d, &g->at, line, sizeof line)) {
        int shown = 0, width = g->at.width > 0 ? g->at.width : 1;
        for (const char *p = line; *p != '\0'; p++)
            shown += ((unsigned char)*p & 0xc0) != 0x80;
        if (width > shown - g->at.col + 1)
            width = shown - g->at.col + 1 > 0 ? shown - g->at.col + 1 : 1;
        fprintf(out, "    | %s\n    | %*s%s", line, g->at.col - 1, "", tint);
        for (int i = 0; i < width; i++)
            fputc('^', out);
        fprintf(out, "%s\n", off);
    }
    fprintf(out, "help: %s\n", g->help);
}

void fb_print_quoted(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ') /* of a path: clean() has left none in texts */
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static void print_json(const struct fb_conf_details *d, const struct fb_diagnostic *g, FILE *out) {
    const struct fb_diagnostic_row *row = fb_diagnostic_find(g->code);
    fprintf(out, "{\"stage\":\"%s\",\"severity\":\"%s\",\"code\":\"%s\",\"file\":",
            row != NULL ? stage_name(row->stage) : "", g->severity == FB_SEVERITY_ERROR ? "error" : "warning", g->code);
    fb_print_quoted(out, label_of(d, &g->at));
    fprintf(out, ",\"line\":%d,\"column\":%d,\"message\":", g->at.line, g->at.line > 0 ? g->at.col : 0);
    fb_print_quoted(out, g->text);
    fprintf(out, ",\"help\":");
    fb_print_quoted(out, g->help);
    fputc('}', out);
}

static void sort(const struct fb_conf_details *d) {
    if (d->ndiagnostics > 0)
        qsort(d->diagnostics, d->ndiagnostics, sizeof *d->diagnostics, by_position);
}

void fb_conf_each_fault(const struct fb_conf *conf, void (*visit)(void *user, const struct fb_conf_fault *fault),
                        void *user) {
    const struct fb_conf_details *d = conf->details;
    sort(d);
    for (size_t i = 0; i < d->ndiagnostics; i++) {
        const struct fb_diagnostic *g = &d->diagnostics[i];
        bool has_place = g->at.kind == FB_ORIGIN_FILE && g->at.line > 0;
        visit(user, &(struct fb_conf_fault){g->severity == FB_SEVERITY_ERROR, g->code, label_of(d, &g->at), g->text,
                                            g->help, has_place ? g->at.line : 0, has_place ? g->at.col : 0});
    }
}

const char *fb_conf_first_error(const struct fb_conf *conf) {
    const struct fb_conf_details *d = conf->details;
    sort(d);
    for (size_t i = 0; i < d->ndiagnostics; i++)
        if (d->diagnostics[i].severity == FB_SEVERITY_ERROR)
            return d->diagnostics[i].text;
    return "";
}

unsigned fb_conf_print_diagnostics(const struct fb_conf *conf, FILE *out, enum fb_conf_format format) {
    const struct fb_conf_details *d = conf->details;
    sort(d);
    if (format == FB_CONF_JSON)
        fputc('[', out);
    for (size_t i = 0; i < d->ndiagnostics; i++) {
        if (format == FB_CONF_JSON) {
            fputs(i > 0 ? ",\n " : "", out);
            print_json(d, &d->diagnostics[i], out);
        } else {
            fputs(i > 0 ? "\n" : "", out);
            print_text(d, &d->diagnostics[i], out, format == FB_CONF_TEXT_COLOUR);
        }
    }
    if (format == FB_CONF_JSON)
        fputs("]\n", out);
    else if (d->nunshown > 0)
        fprintf(out, "\nand %u more\n", d->nunshown);
    return d->nerrors;
}

unsigned fb_conf_warnings(const struct fb_conf *conf) { return conf->details->nwarnings; }
