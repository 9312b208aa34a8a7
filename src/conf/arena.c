/* Memory that lives as long as one configuration. */
#include "conf/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK = 8192, ALIGN = alignof(max_align_t) };

struct fb_arena_block {
    struct fb_arena_block *next;
    size_t used, size;
    alignas(max_align_t) char data[];
};

void *fb_arena_alloc(struct fb_arena *arena, size_t size) {
    if (size > SIZE_MAX / 2)
        goto exhausted;
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct fb_arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        block = fb_mem_alloc(sizeof *block + room);
        if (block == NULL)
            goto exhausted;
        *block = (struct fb_arena_block){.next = arena->blocks, .size = room};
        arena->blocks = block;
    }
    void *data = block->data + block->used;
    block->used += size;
    return memset(data, 0, size);
exhausted:
    arena->is_exhausted = true;
    return NULL;
}

char *fb_arena_copy(struct fb_arena *arena, const char *data, size_t len) {
    char *copy = fb_arena_alloc(arena, len + 1);
    if (copy != NULL && len > 0)
        memcpy(copy, data, len);
    return copy;
}

char *fb_arena_vformat(struct fb_arena *arena, const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int len = vsnprintf(NULL, 0, format, list);
    char *text = fb_arena_alloc(arena, len >= 0 ? (size_t)len + 1 : 1);
    if (text != NULL && len >= 0)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

char *fb_arena_format(struct fb_arena *arena, const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *text = fb_arena_vformat(arena, format, list);
    va_end(list);
    return text;
}

void *fb_arena_grow(struct fb_arena *arena, void *items, size_t n, size_t *cap, size_t item_size) {
    if (n < *cap)
        return items;
    size_t more = *cap > 0 ? *cap * 2 : 8;
    void *bigger = fb_arena_alloc(arena, more * item_size);
    if (bigger == NULL)
        return NULL;
    if (n > 0)
        memcpy(bigger, items, n * item_size);
    *cap = more;
    return bigger;
}

void fb_arena_finish(struct fb_arena *arena) {
    for (struct fb_arena_block *block = arena->blocks, *next; block != NULL; block = next) {
        next = block->next;
        fb_mem_free(block);
    }
    arena->blocks = NULL;
}
