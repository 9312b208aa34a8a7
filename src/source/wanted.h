/* The keys of one batch of loads as a database is asked for them: sorted by keyspace and key, duplicates next to each
 * other, and the way back from a row to the items that wanted it.
 *
 * A database may compare more loosely than we do ('bob' finds 'Bob' under many collations): a row answers only the items
 * whose key it has exactly. */
#ifndef FB_SOURCE_WANTED_H
#define FB_SOURCE_WANTED_H

#include "rows/mapping.h"
#include "source/source.h"

/* What has to be known of a binding. */
struct fb_wanted_shape {
    const struct fb_mapping *mapping;
    const int *key_columns; /* of the parameters; NULL: a statement of the configuration's own, which takes one key */
};
typedef struct fb_wanted_shape fb_wanted_shape_of(const struct fb_binding *binding);

struct fb_wanted {
    struct fb_load_item *item;
    struct fb_wanted_shape shape;
    struct fb_datum key[FB_PATTERN_PARAMS_MAX];
    bool is_answered;
};

/* The keys that one statement asks for: those of one table, or one key of a statement. */
struct fb_asked {
    const struct fb_binding *binding;
    struct fb_wanted_shape shape;
    struct fb_wanted *wanted; /* sorted by key, duplicates next to each other */
    size_t n, ndistinct;
    fb_err err;               /* the driver's: why what is not answered is not */
    bool is_sent;             /* the driver's: an answer is to be received */
};

/* A batch. */
struct fb_asking {
    struct fb_wanted *wanted;
    struct fb_asked *asked;
    size_t n; /* of asked */
};

/* Keys that name no row are answered here already; without memory, all of them are. */
void fb_asking_begin(struct fb_asking *asking, struct fb_load_item *items, size_t n, fb_wanted_shape_of *shape_of);
void fb_asking_end(struct fb_asking *asking);
/* The same answer for all items. */
void fb_asking_refuse(struct fb_load_item *items, size_t n, const fb_err *err);

/* The order of two keys of one keyspace. */
int fb_wanted_compare(const struct fb_mapping *m, const struct fb_datum *a, const struct fb_datum *b);

/* Is place i the first of those with its key? */
bool fb_asked_is_first(const struct fb_asked *asked, size_t i);
/* The first place behind those with the key of place i. */
size_t fb_asked_next(const struct fb_asked *asked, size_t i);
/* One key of those asked, with its duplicates, as a question of its own. */
struct fb_asked fb_asked_one(const struct fb_asked *asked, size_t i);
/* Which key does this row answer? The first place of those alike, or n: none of ours. */
size_t fb_asked_place(const struct fb_asked *asked, const struct fb_datum *row);
/* Answer place i and those alike; the value stays the caller's. */
void fb_asked_answer(struct fb_asked *asked, size_t i, fb_status status, struct fb_value *value, const fb_err *err);
/* Answer all that have no answer yet: FB_NOTFOUND, or an error with its text. */
void fb_asked_answer_rest(struct fb_asked *asked, fb_status status, const fb_err *err);

#endif
