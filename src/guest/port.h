#pragma once
#include "base/error.h"

#define PORT_NAME "org.annex.guest"

/* Wait for the control port (`uevents` of uevent_open()) and open it, non-blocking. Nobody else can open it while we
 * have it open, not even root in the machine. */
MUST_USE int port_open(int *ret, int uevents, struct annex_error **err);
