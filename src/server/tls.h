/* The rules of TLS for clients. */
#ifndef FB_SERVER_TLS_H
#define FB_SERVER_TLS_H

#include "base/tls.h"
#include "server/server.h"

/* Read the files. On failure the text names the file and what is wrong with it. */
fb_status fb_tls_context_new(const struct fb_server_tls *options, struct fb_tls_context **ret_context,
                             fb_err *reterr);

#endif
