/* Taking "orders(user_id, kind)" apart. */
#include "rows/depend.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

bool fb_depend_next(const char *const **cursor, char out[FB_DEPEND_LEN_MAX]) {
    size_t len = 0;
    if (*cursor == NULL || **cursor == NULL)
        return false;
    do {
        size_t n = strlen(**cursor), room = FB_DEPEND_LEN_MAX - 1 - len;
        if (len > 0 && room > 2) {
            memcpy(out + len, ", ", 2);
            len += 2;
            room -= 2;
        }
        n = n < room ? n : room; /* what is cut off has no closing parenthesis, and is no item */
        memcpy(out + len, **cursor, n);
        len += n;
        out[len] = '\0';
        ++*cursor;
    } while (**cursor != NULL && strchr(out, '(') != NULL && strchr(out, ')') == NULL);
    return true;
}

void fb_depend_finish(struct fb_depend *depend) {
    fb_mem_free(depend->item);
    fb_mem_free(depend->table);
    for (unsigned i = 0; i < FB_PATTERN_PARAMS_MAX; i++)
        fb_mem_free(depend->columns[i]);
    *depend = (struct fb_depend){.item = NULL};
}

fb_status fb_depend_rename(char **name, const char *to) {
    char *copy = fb_mem_strdup(to);
    if (copy == NULL)
        return FB_NOMEM;
    fb_mem_free(*name);
    *name = copy;
    return FB_OK;
}

/* The name that begins at *text, without the blanks around it; *text moves to what follows it. NULL: out of memory; ""
 * when there is none. */
static char *cut_name(const char **text, const char *ends) {
    const char *begin = *text + strspn(*text, " ");
    size_t len = strcspn(begin, ends);
    *text = begin + len;
    while (len > 0 && begin[len - 1] == ' ')
        len--;
    char *name = fb_mem_alloc(len + 1);
    if (name == NULL)
        return NULL;
    memcpy(name, begin, len);
    name[len] = '\0';
    return name;
}

static fb_status no_memory(fb_err *err) { return fb_fail(err, FB_NOMEM, "out of memory"); }

static fb_status add(struct fb_mapping *m, const struct fb_depend *depend, fb_err *err) {
    struct fb_depend *depends = fb_mem_realloc(m->depends, (m->ndepends + 1) * sizeof *depends);
    if (depends == NULL)
        return no_memory(err);
    m->depends = depends;
    m->depends[m->ndepends++] = *depend;
    return FB_OK;
}

static fb_status take_apart(const struct fb_mapping *m, const char *item, struct fb_depend *d, fb_err *err) {
    const char *at = item;
    unsigned n = 0;
    d->item = fb_mem_strdup(item);
    d->table = cut_name(&at, "(");
    if (d->item == NULL || d->table == NULL)
        return no_memory(err);
    bool is_fine = d->table[0] != '\0' && *at == '(';
    while (is_fine && *at != '\0' && *at != ')') {
        at++;
        char *name = cut_name(&at, ",)");
        if (name == NULL)
            return no_memory(err);
        is_fine = name[0] != '\0' && *at != '\0';
        if (n < FB_PATTERN_PARAMS_MAX)
            d->columns[n] = name;
        else
            fb_mem_free(name);
        n++;
    }
    is_fine = is_fine && *at == ')' && at[1 + strspn(at + 1, " ")] == '\0';
    if (!is_fine)
        return fb_mapping_fail(m, err, FB_CONFIG, "depends: '%s' is not TABLE(COLUMN), nor TABLE(COLUMN, COLUMN)", item);
    if (n != m->pattern.nparams)
        return fb_mapping_fail(m, err, FB_CONFIG, "depends: '%s' has %u column%s and the pattern %u parameter%s: a column "
                               "for each, in their order", item, n, n == 1 ? "" : "s", m->pattern.nparams,
                               m->pattern.nparams == 1 ? "" : "s");
    return FB_OK;
}

fb_status fb_depend_add(struct fb_mapping *mapping, const char *item, fb_err *reterr) {
    struct fb_depend depend = {.item = NULL};
    if (mapping->ndepends == FB_DEPENDS_MAX)
        return fb_mapping_fail(mapping, reterr, FB_CONFIG, "depends: more than %d tables", FB_DEPENDS_MAX);
    fb_status status = take_apart(mapping, item, &depend, reterr);
    if (status == FB_OK)
        status = add(mapping, &depend, reterr);
    if (status != FB_OK)
        fb_depend_finish(&depend);
    return status;
}

fb_status fb_depend_add_own(struct fb_mapping *mapping, const char *table, const int *columns, fb_err *reterr) {
    struct fb_depend depend = {.item = fb_mem_strdup(table), .table = fb_mem_strdup(table)};
    bool is_complete = depend.item != NULL && depend.table != NULL;
    for (unsigned i = 0; i < mapping->pattern.nparams && is_complete; i++) {
        depend.columns[i] = fb_mem_strdup(mapping->columns[columns[i]].name);
        is_complete = depend.columns[i] != NULL;
    }
    fb_status status = is_complete ? add(mapping, &depend, reterr) : no_memory(reterr);
    if (status != FB_OK)
        fb_depend_finish(&depend);
    return status;
}
