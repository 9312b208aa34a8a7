/* The one seam to the allocator. Every allocation can fail; tests make the nth one fail.
 *
 * fb_mem_fail_after(n) makes the allocation after n more of them fail once, −1 switches that off; it counts over all
 * threads and is for tests only. */
#ifndef FB_BASE_MEM_H
#define FB_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *fb_mem_alloc(size_t size);                 /* NULL on failure; not cleared */
void *fb_mem_calloc(size_t n, size_t size);      /* cleared; refuses an overflowing product */
void *fb_mem_realloc(void *old, size_t size);    /* on failure NULL and `old` stays */
char *fb_mem_strdup(const char *text);           /* NULL gives NULL */
void fb_mem_free(void *ptr);                     /* NULL accepted */
void fb_mem_fail_after(int64_t n);

#endif
