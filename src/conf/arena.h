/* Memory that lives as long as one configuration: taken piece by piece, freed in one go. */
#ifndef FB_CONF_ARENA_H
#define FB_CONF_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct fb_arena {
    struct fb_arena_block *blocks;
    bool is_exhausted;  /* an allocation has failed; stays set */
};

/* Zeroed; NULL when out of memory (and is_exhausted says so for good). */
void *fb_arena_alloc(struct fb_arena *arena, size_t size);
/* A terminated copy of bytes. */
char *fb_arena_copy(struct fb_arena *arena, const char *data, size_t len);
char *fb_arena_format(struct fb_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *fb_arena_vformat(struct fb_arena *arena, const char *format, va_list list) __attribute__((format(printf, 2, 0)));
/* Room for one more in an array of *n items with room for *cap: the array, perhaps elsewhere, or NULL. */
void *fb_arena_grow(struct fb_arena *arena, void *items, size_t n, size_t *cap, size_t item_size);
void fb_arena_finish(struct fb_arena *arena);

#endif
