/* Arguments that several commands share: how long a copy may live, decimal numbers. */
#ifndef FB_SERVER_LIFE_H
#define FB_SERVER_LIFE_H

#include "server/call.h"

struct fb_life_unit {
    const char *word; /* EX, PX, EXAT, PXAT */
    bool is_seconds, is_absolute;
};

/* The unit that a word names, or NULL. */
const struct fb_life_unit *fb_life_unit(fb_bytes word);
/* The argument in milliseconds from now, at least 1; for a number that is not positive or too large the error of SET
 * and its relatives has been written. */
bool fb_call_life(struct fb_call *call, const struct fb_life_unit *unit, fb_bytes text, int64_t *ret_ms);
/* A number of this unit in milliseconds from now; may be negative. False when it does not fit. */
bool fb_life_ms(const struct fb_life_unit *unit, int64_t number, int64_t *ret_ms);
/* Is it a finite decimal number (12, -0.5, 1e3)? If not, the error has been written: of an
 * infinity, which Redis knows as a number, in the words of `infinite`. */
bool fb_call_decimal(struct fb_call *call, fb_bytes text, enum fb_error infinite);

/* The reply of every adding command; call->flags has FB_ADD_FLOAT or not. */
void fb_finish_add(struct fb_call *call, struct fb_part *part, size_t n);

#endif
