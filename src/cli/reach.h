/* Connecting to a server from a tool. */
#ifndef FB_CLI_REACH_H
#define FB_CLI_REACH_H

/* A connected socket whose sends and receives give up after so long; −1: errno says why not. */
int fb_reach(const char *address, int patience_s);

#endif
