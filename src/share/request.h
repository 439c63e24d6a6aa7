#pragma once
#include <stdbool.h>
#include <sys/uio.h>

/*
 * What the transport hands to FUSE. All of it is guest memory, which the guest may change at any time: what is looked
 * at is copied first; contents of files go to preadv() and pwritev() straight from and to these. How the bytes are
 * spread over the parts means nothing; there are at most IOV_MAX parts in both together, none of them empty.
 */
struct share_request {
	struct iovec *in; /* header and arguments, contents of WRITE behind them */
	unsigned in_count;
	struct iovec *out; /* room for the answer */
	unsigned out_count;
	/* It can't be kept: what would have to wait fails. */
	bool now;
};
