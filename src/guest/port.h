#pragma once
#include "base/error.h"

#include <stdint.h>

#define PORT_NAME "org.annex.guest"

/* Wait for a virtio-serial port (`uevents` of uevent_open()) and open it, non-blocking. Nobody else can open it while
 * we have it open, not even root in the machine. */
MUST_USE int port_open(int *ret, const char *name, int uevents, uint64_t timeout_ms, struct annex_error **err);
/* The control port: nothing is known of the host yet, so that the slowest has to manage. */
MUST_USE int port_open_control(int *ret, int uevents, struct annex_error **err);
