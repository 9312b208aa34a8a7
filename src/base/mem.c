/* The one seam to the allocator. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t fail_after = -1;

static bool must_fail(void) {
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub(&fail_after, 1) == 0;
}

void fb_mem_fail_after(int64_t n) { atomic_store(&fail_after, n); }

void *fb_mem_alloc(size_t size) { return must_fail() ? NULL : malloc(size > 0 ? size : 1); }

void *fb_mem_calloc(size_t n, size_t size) { return must_fail() ? NULL : calloc(n > 0 ? n : 1, size > 0 ? size : 1); }

void *fb_mem_realloc(void *old, size_t size) { return must_fail() ? NULL : realloc(old, size > 0 ? size : 1); }

char *fb_mem_strdup(const char *text) {
    if (text == NULL)
        return NULL;
    size_t len = strlen(text) + 1;
    char *copy = fb_mem_alloc(len);
    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

void fb_mem_free(void *ptr) { free(ptr); }
