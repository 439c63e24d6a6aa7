#pragma once

/* Tell the service manager that started us, if NOTIFY_SOCKET names one (sd_notify(3)): "READY=1". Never fails. */
void notify(const char *state);
