/* The scripts of the protocol, as Redis (6 and later) and Valkey run them. Keys: the data key, its coordination
 * key, its negative key. What each decides is decide.h; the arguments are listed with each in scripts.c. */
#ifndef FB_STORE_SCRIPTS_H
#define FB_STORE_SCRIPTS_H

/* X(name) */
#define FB_SCRIPT_MAP(X) X(MISS) X(FILL) X(BEGIN) X(END) X(INVAL) X(LIFE) X(LOCK) X(UNLOCK)

enum fb_script {
#define FB_SCRIPT_ENUM_(name) FB_SCRIPT_##name,
    FB_SCRIPT_MAP(FB_SCRIPT_ENUM_)
#undef FB_SCRIPT_ENUM_
    FB_SCRIPT_COUNT,
};

const char *fb_script_name(enum fb_script script);
const char *fb_script_text(enum fb_script script);

#endif
