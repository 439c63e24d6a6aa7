#pragma once
#include "base/text.h"
#include "guest/account.h"
#include "guest/adjust.h"
#include "guest/console.h"
#include "guest/init.h"
#include "guest/klog.h"
#include "guest/link.h"
#include "guest/notify.h"
#include "guest/portlink.h"
#include "guest/ready.h"
#include "guest/sessions.h"
#include "guest/shares.h"
#include "guest/terminals.h"

#include <net/if.h>

/*
 * The agent: PID 1 of the virtual machine. Its states follow each other as they are listed; a reboot of the machine's
 * init goes from UP or STARTING back to STARTING.
 */
enum guest_state {
	GUEST_UNCONFIGURED, /* waiting for CONFIG */
	GUEST_STARTING,     /* the machine's init runs, but is not ready */
	GUEST_UP,
	GUEST_STOPPING, /* init was asked to end */
	GUEST_ENDING,   /* init is gone or never was: last messages are sent */
};

struct guest {
	enum guest_state state;
	struct loop *loop;
	struct link *link;
	struct sessions *sessions;
	struct shares *shares;
	struct adjusts *adjusts;
	struct console *console;
	struct terminals *terminals; /* NULL: no init has asked for any */
	struct notify *notify;
	struct ready *ready; /* NULL: init tells by itself, or is up */
	struct klog *klog;
	struct portlink *ports; /* NULL: there is no such link */
	struct init *init;
	struct loop_source *timer, *reaper, *asker;
	uint64_t ask_until; /* when init is asked to end though it does not listen */
	int uevents;
	bool disk_mounted;

	char *payload; /* what config points into */
	struct message_config config;

	char interface[IFNAMSIZ]; /* or empty */
	struct text_list search;  /* the host's search domains, as they are now */

	/* What the boot has found out. */
	char *hostname;
	char *init_path, *init_real; /* PROGRAM_BUILTIN, or as named and with links resolved */
	char *container;             /* init's variable of that name */
	struct text_list init_words; /* its command line */
	unsigned tty_gid;
	char *zone;                   /* init's TZ, or empty */
	struct text_list environment; /* of init */
	struct account_user user;
	bool enrolls; /* `init` is not yet that, but who does the rest of it (enroll.h) */

	char waiting[NOTIFY_STATUS_MAX + 64];
	bool halted;
	struct message_halted halt;
	char halt_text[NOTIFY_STATUS_MAX + 192];
};

/* Prepare; then loop_run() until it is over. */
MUST_USE int guest_new(struct guest **ret, int uevents, int port, struct annex_error **err);
void guest_free(struct guest *guest);

/* Start init, for the first time or again. A failure ends the machine and is told to the host. */
void guest_start_init(struct guest *guest);
/* Tell the host what is waited for. */
void guest_wait_for(struct guest *guest, const char *format, ...) PRINTF_LIKE(2, 3);
