/* Telling the service manager how it goes: systemd's notification protocol (sd_notify(3)), a datagram of lines to the
 * socket that $NOTIFY_SOCKET names. Without the variable nothing is sent. */
#ifndef FB_CLI_NOTIFY_H
#define FB_CLI_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* "READY=1\nSTATUS=…". Never blocks; what cannot be sent is lost, as with sd_notify. */
void fb_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "RELOADING=1" with the time that systemd wants beside it; READY=1 ends it. */
void fb_notify_reloading(void);
/* How often to give a sign of life: half of $WATCHDOG_USEC where it is meant for this process, else the time between two
 * STATUS lines; 0 when nobody listens. Milliseconds. */
int64_t fb_notify_interval_ms(void);

#endif
