/* Figures as people read them. */
#ifndef FB_SERVER_WORDS_H
#define FB_SERVER_WORDS_H

#include <stdint.h>

enum { FB_WORDS_MAX = 32 };

/* "250 ms", "1.5 s", "4m 30s", "2h 5m", "3d 4h". */
const char *fb_words_time(int64_t ms, char out[FB_WORDS_MAX]);
/* "512 bytes", "1.2 kb", "8 mb" (a kb is 1024 bytes). */
const char *fb_words_size(uint64_t bytes, char out[FB_WORDS_MAX]);
/* "97.3 %"; "-" of nothing. */
const char *fb_words_share(uint64_t part, uint64_t all, char out[FB_WORDS_MAX]);

#endif
