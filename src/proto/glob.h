/* Redis' glob patterns: * ? [a-z] [^a] and \ to take the next character as it is. */
#ifndef FB_PROTO_GLOB_H
#define FB_PROTO_GLOB_H

#include <stdbool.h>

#include <forebay/forebay.h>

enum {
    FB_GLOB_LEN_MAX = 1024,       /* a longer pattern matches nothing */
    FB_GLOB_STEPS_MAX = 1000000,  /* bytes of pattern looked at; a match that takes more is none */
};

/* Iterative, with memory of the last * only. Pure. */
bool fb_glob_match(fb_bytes pattern, fb_bytes text, bool ignore_case);

#endif
