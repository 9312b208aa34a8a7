/* Sorting, grouping and answering the keys of a batch of loads. */
#include "source/wanted.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "source/group.h"

/* ---- order ---- */

static int compare_datums(const struct fb_datum *a, const struct fb_datum *b) {
    if (a->kind == FB_DATUM_INT || b->kind == FB_DATUM_INT)
        return a->kind != b->kind ? (int)a->kind - (int)b->kind : (a->i > b->i) - (a->i < b->i);
    size_t n = a->bytes.len < b->bytes.len ? a->bytes.len : b->bytes.len;
    int order = n > 0 ? memcmp(a->bytes.data, b->bytes.data, n) : 0;
    return order != 0 ? order : (a->bytes.len > b->bytes.len) - (a->bytes.len < b->bytes.len);
}

int fb_wanted_compare(const struct fb_mapping *m, const struct fb_datum *a, const struct fb_datum *b) {
    int order = 0;
    for (unsigned i = 0; i < m->pattern.nparams && order == 0; i++)
        order = compare_datums(&a[i], &b[i]);
    return order;
}

static int compare_keys(const struct fb_wanted *x, const struct fb_wanted *y) {
    return fb_wanted_compare(x->shape.mapping, x->key, y->key);
}

static int by_binding_and_key(const void *a, const void *b) {
    const struct fb_wanted *x = a, *y = b;
    if (x->item->binding != y->item->binding)
        return x->item->binding < y->item->binding ? -1 : 1;
    return compare_keys(x, y);
}

bool fb_asked_is_first(const struct fb_asked *asked, size_t i) {
    return i == 0 || compare_keys(&asked->wanted[i - 1], &asked->wanted[i]) != 0;
}

size_t fb_asked_next(const struct fb_asked *asked, size_t i) {
    do
        i++;
    while (i < asked->n && !fb_asked_is_first(asked, i));
    return i;
}

struct fb_asked fb_asked_one(const struct fb_asked *asked, size_t i) {
    return (struct fb_asked){.binding = asked->binding, .shape = asked->shape, .wanted = &asked->wanted[i],
                             .n = fb_asked_next(asked, i) - i, .ndistinct = 1};
}

/* ---- answers ---- */

static void answer(struct fb_load_item *item, fb_status status, struct fb_value *value, const fb_err *err) {
    item->status = status;
    item->value = status < 0 ? fb_error_value(err) : fb_value_ref(value);
}

void fb_asked_answer(struct fb_asked *asked, size_t i, fb_status status, struct fb_value *value, const fb_err *err) {
    for (size_t end = fb_asked_next(asked, i); i < end; i++) {
        answer(asked->wanted[i].item, status, value, err);
        asked->wanted[i].is_answered = true;
    }
}

void fb_asked_answer_rest(struct fb_asked *asked, fb_status status, const fb_err *err) {
    for (size_t i = 0; i < asked->n; i = fb_asked_next(asked, i))
        if (!asked->wanted[i].is_answered)
            fb_asked_answer(asked, i, status, NULL, err);
}

size_t fb_asked_place(const struct fb_asked *asked, const struct fb_datum *row) {
    const struct fb_mapping *m = asked->shape.mapping;
    struct fb_wanted sought = {.shape = asked->shape};
    size_t low = 0, high = asked->n;
    if (asked->shape.key_columns == NULL)
        return fb_mapping_row_is_key(m, row, asked->wanted[0].key) ? 0 : asked->n;
    for (unsigned i = 0; i < m->pattern.nparams; i++)
        sought.key[i] = row[asked->shape.key_columns[i]];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_keys(&asked->wanted[middle], &sought) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < asked->n && compare_keys(&asked->wanted[low], &sought) == 0 ? low : asked->n;
}

/* ---- a batch ---- */

static bool has_nul(fb_bytes text) { return text.len > 0 && memchr(text.data, 0, text.len) != NULL; }

static void group(struct fb_asking *asking, size_t nwanted) {
    for (size_t i = 0; i < nwanted; i++) {
        struct fb_wanted *w = &asking->wanted[i];
        struct fb_asked *last = asking->n > 0 ? &asking->asked[asking->n - 1] : NULL;
        bool is_new = i == 0 || by_binding_and_key(w - 1, w) != 0;
        bool joins = last != NULL && last->binding == w->item->binding && (w->shape.key_columns != NULL || !is_new);
        if (!joins) {
            last = &asking->asked[asking->n++];
            *last = (struct fb_asked){.binding = w->item->binding, .shape = w->shape, .wanted = w};
        }
        last->n++;
        last->ndistinct += is_new;
    }
}

void fb_asking_refuse(struct fb_load_item *items, size_t n, const fb_err *err) {
    for (size_t i = 0; i < n; i++)
        answer(&items[i], err->status, NULL, err);
}

void fb_asking_begin(struct fb_asking *asking, struct fb_load_item *items, size_t n, fb_wanted_shape_of *shape_of) {
    fb_err err = {FB_OK, ""};
    size_t nwanted = 0;
    *asking = (struct fb_asking){.wanted = fb_mem_calloc(n, sizeof *asking->wanted),
                                 .asked = fb_mem_calloc(n, sizeof *asking->asked)};
    if (asking->wanted == NULL || asking->asked == NULL) {
        fb_fail(&err, FB_NOMEM, "out of memory");
        fb_asking_refuse(items, n, &err);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct fb_wanted *w = &asking->wanted[nwanted];
        *w = (struct fb_wanted){.item = &items[i], .shape = shape_of(items[i].binding)};
        fb_status status = has_nul(items[i].key) ? FB_NOTFOUND
                                                 : fb_mapping_key(w->shape.mapping, items[i].key, w->key, &err);
        if (status == FB_OK)
            nwanted++;
        else
            answer(&items[i], status, NULL, &err);
    }
    if (nwanted > 0)
        qsort(asking->wanted, nwanted, sizeof *asking->wanted, by_binding_and_key);
    group(asking, nwanted);
}

void fb_asking_end(struct fb_asking *asking) {
    fb_mem_free(asking->wanted);
    fb_mem_free(asking->asked);
    *asking = (struct fb_asking){.n = 0};
}
