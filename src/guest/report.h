#pragma once
#include "base/error.h"

#include <stdint.h>

/* An error as our own child processes send it to us, in one piece. */
struct report {
	uint32_t kind;
	int32_t os;
	char message[1000];
	char hint[500];
};

void report_from_error(struct report *report, const struct annex_error *err); /* NULL: unknown */
int report_to_error(const struct report *report, struct annex_error **err);   /* returns -1 */

/* Over a socket of pairs of packets: a report, or a descriptor. The sender dies if nobody listens. */
MUST_USE int report_pair(int ret[2]); /* close-on-exec; [0] is ours and non-blocking */
void report_send_error(int fd, const struct annex_error *err);
MUST_USE int report_send_fd(int fd, int passed, uint8_t tag); /* what it is, between the two sides */

enum report_result {
	REPORT_NOTHING, /* not yet */
	REPORT_ERROR,
	REPORT_FD,  /* its tag is the report's `kind` */
	REPORT_END, /* the other side is closed: the program was executed, or the process is gone */
};
enum report_result report_receive(struct report *ret, int *ret_fd, int fd);
