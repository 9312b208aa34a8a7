/* A connection and its user: who it is, logging in, what the user gate says, and a set of users that changes. */
#ifndef FB_SERVER_LOGIN_H
#define FB_SERVER_LOGIN_H

#include "server/gates.h"

/* A new connection is the user default, logged in when that user has no password. RESET makes it so again. False: no
 * memory. */
bool fb_session_begin_user(struct fb_session *session);
void fb_session_end_user(struct fb_session *session);
/* Name and password are right: the connection is this user. If not, the error has been written. */
bool fb_login(struct fb_call *call, fb_bytes name, fb_bytes password);
/* After a new set of users: be the one of the same name in it, or be closed. */
void fb_session_renew_user(struct fb_session *session);
/* The gate: may the user run this? If not, the error has been written. */
enum fb_passage fb_gate_user(struct fb_call *call);
/* A refused command tells about a key only to those who may use it; if not, NOPERM has been written. */
bool fb_login_may_see(struct fb_call *call, fb_bytes key);

#endif
