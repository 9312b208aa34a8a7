/* Edit distance with swaps of neighbours (restricted Damerau–Levenshtein), by three rows of its matrix. */
#include "conf/nearest.h"

#include <ctype.h>
#include <string.h>

enum { WORD_MAX = 64 }; /* longer words get no hint */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Case, '-' and '_' do not count as differences: they are no other word, only another habit of spelling. */
static int letter(char c) { return c == '-' ? '_' : tolower((unsigned char)c); }

static size_t distance(const char *a, size_t alen, const char *b, size_t blen) {
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= blen; j++)
        last[j] = j;
    for (size_t i = 1; i <= alen; i++) {
        now[0] = i;
        for (size_t j = 1; j <= blen; j++) {
            size_t changed = last[j - 1] + (letter(a[i - 1]) != letter(b[j - 1]));
            now[j] = least(changed, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) && letter(a[i - 2]) == letter(b[j - 1]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[blen];
}

struct fb_nearest fb_nearest_begin(const char *word) {
    size_t len = strlen(word);
    size_t most = len / 3 > 2 ? len / 3 : 2;
    if (most >= len) /* a word of one or two letters is near to everything */
        most = len > 0 ? len - 1 : 0;
    return (struct fb_nearest){.word = word, .distance = most + 1};
}

void fb_nearest_offer(struct fb_nearest *nearest, const char *name) {
    size_t wlen = strlen(nearest->word), nlen = strlen(name);
    if (wlen > WORD_MAX || nlen > WORD_MAX)
        return;
    size_t d = distance(nearest->word, wlen, name, nlen);
    if (d < nearest->distance) {
        nearest->distance = d;
        nearest->best = name;
    }
}
