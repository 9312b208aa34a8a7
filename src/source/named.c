/* Named parameters of statements. */
#include "source/named.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "rows/names.h"

static bool is_name_start(char c) { return isalpha((unsigned char)c) || c == '_'; }
static bool is_name_byte(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* ---- passing over ---- */

static const char *pass_quoted(const struct fb_named_dialect *d, const char *p) {
    char quote = *p++;
    bool escapes = d->has_backslashes && quote != '`';
    while (*p != '\0' && *p != quote)
        p += escapes && p[0] == '\\' && p[1] != '\0' ? 2 : 1;
    return *p != '\0' ? p + 1 : p;
}

static const char *pass_comment(const struct fb_named_dialect *d, const char *p) {
    unsigned depth = 0;
    do {
        bool opens = p[0] == '/' && p[1] == '*' && (depth == 0 || d->nests_comments), closes = p[0] == '*' && p[1] == '/';
        depth += opens;
        depth -= closes;
        p += opens || closes ? 2 : 1;
    } while (depth > 0 && *p != '\0');
    return p;
}

static const char *pass_dollar_body(const char *p) {
    const char *end = p + 1;
    while (is_name_byte(*end))
        end++;
    if (*end != '$')
        return NULL;
    size_t tag = (size_t)(end + 1 - p);
    for (const char *q = end + 1; *q != '\0'; q++)
        if (strncmp(q, p, tag) == 0)
            return q + tag;
    return p + strlen(p);
}

const char *fb_named_pass_over(const struct fb_named_dialect *d, const char *p) {
    if (p[0] == '\'' || p[0] == '"' || (p[0] == '`' && d->has_backquotes))
        return pass_quoted(d, p);
    /* With backslashes goes MySQL's rule that "--" wants a blank behind it: 5--3 is a sum. */
    if (p[0] == '-' && p[1] == '-' && (!d->has_backslashes || p[2] == '\0' || isspace((unsigned char)p[2])))
        return p + strcspn(p, "\n");
    if (p[0] == '#' && d->has_hash_comments)
        return p + strcspn(p, "\n");
    if (p[0] == '/' && p[1] == '*')
        return pass_comment(d, p);
    if (p[0] == '$' && d->has_dollar_bodies && (p[1] == '$' || is_name_start(p[1])))
        return pass_dollar_body(p);
    return NULL;
}

bool fb_named_reads_only(const char *text) {
    static const char *const words[] = {"select", "with", "values", "table"};
    while (isspace((unsigned char)*text) || *text == '(')
        text++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strncasecmp(text, words[i], strlen(words[i])) == 0 && !is_name_byte(text[strlen(words[i])]))
            return true;
    return false;
}

/* ---- parameters ---- */

struct reader {
    const struct fb_named_dialect *dialect;
    const struct fb_mapping *m;
    const char *what;
    bool takes_columns;
    struct fb_named_sql *sql;
    fb_buf out;
    fb_err *err;
};

static const char *param_name(const struct fb_mapping *m, unsigned param) {
    for (unsigned i = 0; i < m->pattern.nparts; i++)
        if (m->pattern.parts[i].is_param && param-- == 0)
            return m->pattern.parts[i].text;
    return "name";
}

static fb_status no_memory(struct reader *r) { return fb_fail(r->err, FB_NOMEM, "out of memory"); }

static fb_status find(struct reader *r, fb_bytes name, struct fb_named_arg *ret_arg) {
    const struct fb_mapping *m = r->m;
    struct fb_nearest nearest = FB_NEAREST_INIT(name);
    char hint[FB_NAME_LEN_MAX + 24];
    for (unsigned p = 0; p < m->pattern.nparams; p++) {
        const char *text = param_name(m, p);
        *ret_arg = (struct fb_named_arg){.is_key = true, .index = p};
        if (strlen(text) == name.len && memcmp(text, name.data, name.len) == 0)
            return FB_OK;
        fb_nearest_offer(&nearest, text);
    }
    for (unsigned c = 0; c < m->ncolumns && r->takes_columns; c++) {
        *ret_arg = (struct fb_named_arg){.is_key = false, .index = c};
        if (m->columns[c].name_len == name.len && memcmp(m->columns[c].name, name.data, name.len) == 0)
            return FB_OK;
        fb_nearest_offer(&nearest, m->columns[c].name);
    }
    return fb_mapping_fail(m, r->err, FB_CONFIG, "%s: :%.*s is no parameter of the pattern%s%s", r->what, (int)name.len,
                           name.data, r->takes_columns ? " and no column of load" : "",
                           fb_nearest_hint(&nearest, hint));
}

static fb_status put(struct reader *r, const char *data, size_t len) {
    return fb_buf_append(&r->out, data, len) == FB_OK ? FB_OK : no_memory(r);
}

/* Its number among the statement's, where it may have come before. */
static fb_status put_param(struct reader *r, fb_bytes name) {
    struct fb_named_sql *sql = r->sql;
    struct fb_named_arg arg;
    unsigned i = 0;
    fb_status status = find(r, name, &arg);
    if (status != FB_OK)
        return status;
    for (i = r->dialect->is_numbered ? 0 : sql->nargs; i < sql->nargs; i++)
        if (sql->args[i].is_key == arg.is_key && sql->args[i].index == arg.index)
            break;
    if (i == FB_NAMED_ARGS_MAX)
        return fb_mapping_fail(r->m, r->err, FB_CONFIG, "%s: more than %d parameters", r->what, FB_NAMED_ARGS_MAX);
    if (i == sql->nargs)
        sql->args[sql->nargs++] = arg;
    char number[16];
    int len = snprintf(number, sizeof number, "$%u", i + 1);
    return r->dialect->is_numbered ? put(r, number, (size_t)len) : put(r, "?", 1);
}

static bool is_unnamed(const struct fb_named_dialect *d, const char *p) {
    return d->is_numbered ? p[0] == '$' && isdigit((unsigned char)p[1]) : p[0] == '?';
}

static fb_status rewrite(struct reader *r, const char *text) {
    fb_status status = FB_OK;
    for (const char *p = text; status == FB_OK && *p != '\0';) {
        const char *end = fb_named_pass_over(r->dialect, p);
        if (end != NULL) {
            status = put(r, p, (size_t)(end - p));
        } else if (p[0] == ':' && p[1] == ':') { /* a cast */
            end = p + 2;
            status = put(r, p, 2);
        } else if (p[0] == ':' && is_name_start(p[1])) {
            for (end = p + 1; is_name_byte(*end);)
                end++;
            status = put_param(r, fb_bytes_of(p + 1, (size_t)(end - p - 1)));
        } else if (is_unnamed(r->dialect, p)) {
            status = fb_mapping_fail(r->m, r->err, FB_CONFIG, "%s: parameters have names, for example :%s", r->what,
                                     param_name(r->m, 0));
        } else {
            end = p + 1;
            status = put(r, p, 1);
        }
        p = end;
    }
    while (status == FB_OK && r->out.len > 0 && strchr("; \t\r\n", r->out.data[r->out.len - 1]) != NULL)
        r->out.len--;
    return status == FB_OK ? put(r, "", 1) : status;
}

fb_status fb_named_parse(const struct fb_named_dialect *dialect, const struct fb_mapping *m, const char *what,
                         const char *text, bool takes_columns, struct fb_named_sql *ret_sql, fb_err *err) {
    struct fb_named_sql sql = {.args = fb_mem_calloc(FB_NAMED_ARGS_MAX, sizeof *sql.args)};
    struct reader r = {dialect, m, what, takes_columns, &sql, FB_BUF_INIT, err};
    fb_status status = sql.args != NULL ? rewrite(&r, text) : no_memory(&r);
    if (status != FB_OK) {
        fb_buf_free(&r.out);
        fb_named_finish(&sql);
        return status;
    }
    sql.text = r.out.data;
    *ret_sql = sql;
    return FB_OK;
}

void fb_named_finish(struct fb_named_sql *sql) {
    fb_mem_free(sql->text);
    fb_mem_free(sql->args);
    *sql = (struct fb_named_sql){.text = NULL};
}
