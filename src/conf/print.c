/* The configuration in force: as a file that can be read again, as JSON, and as CONFIG GET's answers. */
#include <stdio.h>
#include <string.h>

#include "conf/details.h"
#include "proto/glob.h"

/* ---- values as YAML --------------------------------------------------------------------------------------------- */

static bool is_plain(const char *text) {
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:%+@={}~,$()*-";
    size_t len = strlen(text);
    return len > 0 && strspn(text, safe) == len && strchr(":%@={},*-", text[0]) == NULL && text[len - 1] != ':';
}

/* Lines that YAML's literal style gives back byte by byte. */
static bool is_literal(const char *text) {
    bool has_break = false;
    if (text[0] == ' ' || text[0] == '\n')
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        has_break |= *p == '\n';
        if (((unsigned char)*p < ' ' && *p != '\n') || *p == 0x7f || (unsigned char)*p >= 0x80)
            return false;
    }
    return has_break;
}

static void print_escaped(FILE *out, const char *text) {
    fputc('"', out);
    for (const char *p = text; *p != '\0'; p++)
        if (*p == '\n')
            fputs("\\n", out);
        else if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if ((unsigned char)*p < ' ' || *p == 0x7f)
            fprintf(out, "\\x%02x", (unsigned)(unsigned char)*p);
        else
            fputc(*p, out);
    fputc('"', out);
}

void fb_conf_print_text(FILE *out, const char *text) {
    if (is_plain(text))
        fputs(text, out);
    else
        print_escaped(out, text);
}

static void print_block(FILE *out, const char *text, const char *comment, int indent) {
    size_t len = strlen(text);
    fprintf(out, "|%s%s\n", text[len - 1] != '\n' ? "-" : len > 1 && text[len - 2] == '\n' ? "+" : "", comment);
    for (const char *line = text; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        fprintf(out, "%*s%.*s\n", n > 0 ? indent : 0, "", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

/* `comment` begins with a blank, or is empty. */
static void print_value(FILE *out, const char *text, const char *comment, int indent) {
    if (is_literal(text)) {
        print_block(out, text, comment, indent);
        return;
    }
    if (is_plain(text))
        fputs(text, out);
    else
        print_escaped(out, text);
    fprintf(out, "%s\n", comment);
}

/* ---- one setting ------------------------------------------------------------------------------------------------ */

static void origin_text(const struct fb_conf_details *d, const struct fb_origin *origin, char *out, size_t size) {
    switch (origin->kind) {
    case FB_ORIGIN_DEFAULT: snprintf(out, size, "default"); break;
    case FB_ORIGIN_CLASS: snprintf(out, size, "class %s", origin->name); break;
    case FB_ORIGIN_FILE: snprintf(out, size, "%s:%d", d->text.path, origin->line); break;
    case FB_ORIGIN_ENVIRONMENT:
    case FB_ORIGIN_FLAG:
    case FB_ORIGIN_COMMAND: snprintf(out, size, "%s", origin->name); break;
    }
    if (origin->is_wrong) {
        size_t len = strlen(out);
        snprintf(out + len, size - len, " (refused)");
    }
}

/* The text of a value; false when there is none. Secrets come out as where they are kept, or masked. */
static bool value_text(const struct fb_setting *setting, const struct fb_object *object, const struct fb_origin *origin,
                       fb_buf *out) {
    out->len = 0;
    if (setting->type == FB_TYPE_SECRET) {
        if (origin->kind == FB_ORIGIN_DEFAULT)
            return false;
        const char *text = origin->reference != NULL ? origin->reference : "***";
        return fb_buf_append(out, text, strlen(text) + 1) == FB_OK;
    }
    if (fb_setting_format(setting, object->data, false, out) != FB_OK || out->len == 0 ||
        fb_buf_append(out, "", 1) != FB_OK)
        return false;
    if (setting->type == FB_TYPE_URL)
        fb_mask_secrets(out->data);
    return true;
}

static void print_list(FILE *out, const struct fb_setting *setting, const void *data) {
    const char *const *list = fb_setting_list(setting, data);
    if (list == NULL && setting->choices != NULL) {
        fputs(setting->choices, out);
        return;
    }
    fputc('[', out);
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        fputs(i > 0 ? ", " : "", out);
        print_escaped(out, list[i]);
    }
    fputc(']', out);
}

static void print_object(const struct fb_conf_details *d, const struct fb_object *object, FILE *out, bool with_origins,
                         fb_buf *text) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(object->scope, &n);
    int indent = object->name != NULL ? 4 : 2;
    if (object->name != NULL) {
        fputs("  ", out);
        if (is_plain(object->name))
            fputs(object->name, out);
        else
            print_escaped(out, object->name);
        fputs(":\n", out);
    }
    for (size_t i = 0; i < n; i++) {
        char origin[300], comment[320] = "";
        if (!value_text(&rows[i], object, &object->origins[i], text))
            continue;
        if (with_origins) {
            origin_text(d, &object->origins[i], origin, sizeof origin);
            snprintf(comment, sizeof comment, "  # %s", origin);
        } else {
            fprintf(out, "%*s# %s\n", indent, "", rows[i].line);
        }
        fprintf(out, "%*s%s: ", indent, "", rows[i].name);
        if (fb_setting_is_list(&rows[i])) {
            print_list(out, &rows[i], object->data);
            fprintf(out, "%s\n", comment);
        } else {
            print_value(out, text->data, comment, indent + 2);
        }
    }
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

void fb_conf_print(const struct fb_conf *conf, FILE *out, bool with_origins) {
    const struct fb_conf_details *d = conf->details;
    fb_buf text = FB_BUF_INIT;
    for (int scope = 0; scope < FB_SCOPE_COUNT_; scope++) {
        bool is_first = true;
        for (size_t i = 0; i < d->nobjects; i++) {
            if (d->objects[i]->scope != (enum fb_scope)scope)
                continue;
            if (is_first)
                fprintf(out, "%s%s:\n", scope > 0 ? "\n" : "", fb_sections[scope].name);
            is_first = false;
            print_object(d, d->objects[i], out, with_origins, &text);
        }
    }
    fb_buf_free(&text);
}

void fb_conf_print_json(const struct fb_conf *conf, FILE *out) {
    const struct fb_conf_details *d = conf->details;
    fb_buf text = FB_BUF_INIT;
    const char *between = "{";
    for (size_t o = 0; o < d->nobjects; o++) {
        const struct fb_object *object = d->objects[o];
        size_t n;
        const struct fb_setting *rows = fb_settings_of(object->scope, &n);
        for (size_t i = 0; i < n; i++) {
            char origin[300];
            bool has_value = value_text(&rows[i], object, &object->origins[i], &text);
            const char *name = fb_arena_format(&conf->details->arena, "%s%s%s.%s", fb_sections[object->scope].name,
                                               object->name != NULL ? "." : "",
                                               object->name != NULL ? object->name : "", rows[i].name);
            if (name == NULL)
                goto out;
            origin_text(d, &object->origins[i], origin, sizeof origin);
            fputs(between, out);
            fb_print_quoted(out, name);
            fputs(": {\"value\": ", out);
            if (has_value)
                fb_print_quoted(out, text.data);
            else
                fputs("null", out);
            fputs(", \"origin\": ", out);
            fb_print_quoted(out, origin);
            fputc('}', out);
            between = ",\n ";
        }
    }
    fputs("}\n", out);
out:
    fb_buf_free(&text);
}

/* ---- CONFIG GET ------------------------------------------------------------------------------------------------- */

static void emit_if(const struct fb_conf *conf, const struct fb_setting *setting, const char *name, bool for_redis,
                    const char *glob, fb_buf *text, void (*emit)(void *user, const char *name, const char *value),
                    void *user) {
    if (name == NULL || !fb_glob_match(FB_STR(glob), FB_STR(name), true))
        return;
    text->len = 0;
    if (fb_setting_format(setting, conf, for_redis, text) == FB_OK && fb_buf_append(text, "", 1) == FB_OK)
        emit(user, name, text->data);
}

/* Brackets of a pattern mean something in a glob: a name that is written out is found all the same. */
static bool is_exactly(const char *glob, const char *name, size_t len) {
    return strlen(glob) == len && memcmp(glob, name, len) == 0;
}

/* Keyspaces and sources are many, so they come only when their section is asked for. */
static void get_members(const struct fb_conf *conf, const char *glob, fb_buf *text,
                        void (*emit)(void *user, const char *name, const char *value), void *user) {
    const struct fb_conf_details *d = conf->details;
    fb_buf name = FB_BUF_INIT;
    for (size_t o = 0; o < d->nobjects; o++) {
        const struct fb_object *object = d->objects[o];
        const char *section = fb_sections[object->scope].name;
        size_t n, len = strlen(section);
        const struct fb_setting *rows = fb_settings_of(object->scope, &n);
        if (object->name == NULL || strncmp(glob, section, len) != 0 || glob[len] != '.')
            continue;
        for (size_t i = 0; i < n; i++) {
            const char *parts[] = {section, ".", object->name, ".", rows[i].name};
            bool ok = true;
            name.len = text->len = 0;
            for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++)
                ok &= fb_buf_append(&name, parts[p], strlen(parts[p])) == FB_OK;
            if (!ok || !(fb_glob_match(FB_STR(glob), fb_bytes_of(name.data, name.len), true) ||
                         is_exactly(glob, name.data, name.len)))
                continue;
            if (fb_buf_append(&name, "", 1) == FB_OK && value_text(&rows[i], object, &object->origins[i], text))
                emit(user, name.data, text->data);
        }
    }
    fb_buf_free(&name);
}

void fb_conf_get(void *conf, const char *glob, void (*emit)(void *user, const char *name, const char *value),
                 void *user) {
    size_t n;
    const struct fb_setting *rows = fb_settings_of(FB_SCOPE_SERVER, &n);
    fb_buf text = FB_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        emit_if(conf, &rows[i], rows[i].name, false, glob, &text, emit, user);
        emit_if(conf, &rows[i], rows[i].alias, true, glob, &text, emit, user);
    }
    get_members(conf, glob, &text, emit, user);
    fb_buf_free(&text);
}
