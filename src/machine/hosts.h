#pragma once
#include "base/text.h"

#include <stdint.h>

/*
 * The block in /etc/hosts that names the machines of one user. It begins and ends with a line that names the user, so
 * several users' blocks stand side by side; all else in the file is somebody else's and stays as it is. Pure.
 */
#define MACHINE_HOSTS_MAX   (16u << 20) /* bytes of the file */
#define MACHINE_HOSTS_LINES (1u << 16)  /* of a block */

struct machine_host {
	char *name;
	uint32_t place;
	bool bare; /* also without the domain */
};
struct machine_hosts {
	struct machine_host *items;
	size_t count;
	size_t capacity;
	const char *origin; /* the data folder that they are in, if it is known; the caller's */
};
void machine_hosts_clear(struct machine_hosts *hosts);
#define auto_machine_hosts CLEANUP(machine_hosts_clear)
MUST_USE int machine_hosts_add(struct machine_hosts *hosts, const char *name, uint32_t place, bool bare); /* -ENOMEM */

/* Not bare: a name that the file gives to something else, outside of this user's block. */
void machine_hosts_yield(struct machine_hosts *hosts, const char *file, size_t size, const char *user);
/* "127.88.3.7 dev.annex.internal dev\n…"*/
void machine_hosts_print(struct text *ret, const struct machine_hosts *hosts);
/* What machine_hosts_print() has printed; empty lines are passed over. USAGE: anything else. */
MUST_USE int machine_hosts_parse(struct machine_hosts *ret, const char *lines, struct annex_error **err);

enum machine_hosts_kept {
	MACHINE_HOSTS_NOT_KEPT,       /* the file has no block of this user */
	MACHINE_HOSTS_KEPT,           /* it has one, of lines that somebody handed over */
	MACHINE_HOSTS_KEPT_HERE,      /* it has one, of the machines in this data folder */
	MACHINE_HOSTS_KEPT_ELSEWHERE, /* it has one, of those in another */
};
enum machine_hosts_kept machine_hosts_kept(const char *file, size_t size, const char *user, const char *origin);
/* The file with the user's block brought up to date, where it stands or at the end; hosts NULL: without it. */
void machine_hosts_edit(struct text *ret, const char *file, size_t size, const char *user,
			const struct machine_hosts *hosts);
