/* Glob matching without recursion: after a mismatch only the last * can take one more character, because whatever an
 * earlier one took, the later one could have taken as well. */
#include "proto/glob.h"

static unsigned char fold(char c, bool ignore_case) {
    return (unsigned char)(ignore_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Does [set] hold c? *p stands behind the bracket and is moved behind the closing one (or to the end). */
static bool set_holds(const char **p, const char *end, unsigned char c, bool ignore_case) {
    const char *q = *p;
    bool is_inverted = q < end && *q == '^', holds = false;
    for (q += is_inverted; q < end && *q != ']'; q++) {
        if (*q == '\\' && end - q >= 2)
            q++;
        unsigned char from = fold(*q, ignore_case), to = from;
        if (end - q >= 3 && q[1] == '-' && q[2] != ']') {
            q += 2;
            to = fold(*q, ignore_case);
        }
        holds |= from <= to ? c >= from && c <= to : c >= to && c <= from;
    }
    *p = q < end ? q + 1 : q;
    return holds != is_inverted;
}

/* Does the pattern's next element, which is no *, match c? Moves *p behind the element. */
static bool element_matches(const char **p, const char *end, unsigned char c, bool ignore_case) {
    const char *q = (*p)++;
    if (*q == '?')
        return true;
    if (*q == '[')
        return set_holds(p, end, c, ignore_case);
    if (*q == '\\' && end - q >= 2) {
        q++;
        (*p)++;
    }
    return fold(*q, ignore_case) == c;
}

bool fb_glob_match(fb_bytes pattern, fb_bytes text, bool ignore_case) {
    if (pattern.len > FB_GLOB_LEN_MAX)
        return false;
    const char *p = pattern.data, *p_end = p + pattern.len, *t = text.data, *t_end = t + text.len;
    const char *star = NULL, *resume = NULL; /* behind the last *, and where its match in the text ends */
    for (size_t steps = 0; t < t_end;) {
        const char *before = p;
        if (steps >= FB_GLOB_STEPS_MAX)
            return false;
        if (p < p_end && *p == '*') {
            star = ++p;
            resume = t;
        } else if (p < p_end && element_matches(&p, p_end, fold(*t, ignore_case), ignore_case)) {
            t++;
            steps += (size_t)(p - before);
        } else if (star != NULL) {
            steps += 1 + (size_t)(p - before); /* a set may be long */
            p = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}
