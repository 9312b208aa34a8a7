/* The inbox of a loop: messages from other threads, and one wake-up for as many as there are. */
#include "server/loop.h"

#include "base/mem.h"

struct fb_inbox *fb_inbox_new(size_t held_max) {
    struct fb_inbox *inbox = fb_mem_calloc(1, sizeof *inbox);
    if (inbox == NULL)
        return NULL;
    atomic_init(&inbox->refs, 1);
    fb_lock_init(&inbox->lock, FB_LOCK_LOOP);
    fb_list_init(&inbox->messages);
    inbox->held_max = held_max;
    inbox->is_closed = true; /* until a loop has opened it */
    return inbox;
}

struct fb_inbox *fb_inbox_ref(struct fb_inbox *inbox) {
    atomic_fetch_add_explicit(&inbox->refs, 1, memory_order_relaxed);
    return inbox;
}

void fb_inbox_unref(struct fb_inbox *inbox) {
    if (inbox == NULL || atomic_fetch_sub_explicit(&inbox->refs, 1, memory_order_acq_rel) != 1)
        return;
    fb_lock_finish(&inbox->lock);
    fb_mem_free(inbox);
}

bool fb_inbox_post(struct fb_inbox *inbox, struct fb_message *message) {
    fb_lock_acquire(&inbox->lock);
    bool is_open = !inbox->is_closed;
    if (is_open) {
        bool was_empty = fb_list_is_empty(&inbox->messages);
        fb_list_push_back(&inbox->messages, &message->link);
        /* Under the lock, since closing takes it: the handle cannot go away meanwhile. It writes to an eventfd, which
         * does not block. */
        if (was_empty)
            (void)uv_async_send(inbox->wake);
    }
    fb_lock_release(&inbox->lock);
    return is_open;
}

void fb_inbox_wake(struct fb_inbox *inbox) {
    fb_lock_acquire(&inbox->lock);
    if (!inbox->is_closed)
        (void)uv_async_send(inbox->wake);
    fb_lock_release(&inbox->lock);
}
