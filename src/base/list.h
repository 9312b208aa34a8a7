/* A doubly linked ring with the links inside the members. A link that is in no list points to itself. */
#ifndef FB_BASE_LIST_H
#define FB_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct fb_link { struct fb_link *prev, *next; };

#define fb_member_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define FB_LIST_INIT(name) {&(name), &(name)}

static inline void fb_list_init(struct fb_link *l) { l->prev = l->next = l; }
static inline bool fb_list_is_empty(const struct fb_link *l) { return l->next == l; }
static inline bool fb_link_is_in_list(const struct fb_link *l) { return l->next != l; }

static inline void fb_list_push_back(struct fb_link *list, struct fb_link *l) {
    l->prev = list->prev;
    l->next = list;
    list->prev->next = l;
    list->prev = l;
}
static inline void fb_list_push_front(struct fb_link *list, struct fb_link *l) { fb_list_push_back(list->next, l); }

/* Harmless on a link that is in no list. */
static inline void fb_list_remove(struct fb_link *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
    fb_list_init(l);
}
static inline struct fb_link *fb_list_pop_front(struct fb_link *list) {
    struct fb_link *l = list->next;
    if (l == list)
        return NULL;
    fb_list_remove(l);
    return l;
}
/* Move everything from `from` to the end of `to`. */
static inline void fb_list_append(struct fb_link *to, struct fb_link *from) {
    if (fb_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    fb_list_init(from);
}

#endif
