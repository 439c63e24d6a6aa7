#pragma once
#include "loop/loop.h"
#include "machine/lifecycle.h"
#include "machine/plan.h"
#include "qemu/vm.h"
#include "wire/message.h"

/* Deadlines; those of the machine grow with its accelerator. */
#define SUPERVISOR_BOOT_MS   60000u
#define SUPERVISOR_STOP_MS   90000u /* when nobody says another time */
#define SUPERVISOR_GRACE_MS  5000u  /* behind the guest's own deadline: forcing init, sync, unmount */
#define SUPERVISOR_BROKEN_MS 2000u  /* to stop in order a machine that has failed */
#define SUPERVISOR_QUIT_MS   10000u /* for QEMU to write its disks out before it is killed */
#define SUPERVISOR_RETRY_MS  5000u  /* between two looks whether a full disk has space again */
#define SUPERVISOR_DRAIN_MS  2000u  /* for clients to take the last word */

#define SUPERVISOR_SIGNALS     3u   /* that end it */
#define SUPERVISOR_WAITING_MAX 256u /* bytes kept of what the guest says it waits for, or of its reasons */
#define SUPERVISOR_NOTES_MAX   100u /* lines of a run that are logged of what the guest can cause at will */

struct supervisor;
struct clients;
struct clock;
struct console;
struct guest;
struct logfile;
struct network;
struct relay;
struct resources;
struct sessions;
struct shares;
struct usage;

enum supervisor_phase {
	PHASE_NONE, /* nothing is waited for */
	PHASE_BOOT, /* for READY */
	PHASE_STOP, /* for the guest to stop in order */
	PHASE_QUIT, /* for QEMU to quit */
	PHASE_WAIT, /* for the next start of a machine that has ended */
};

/* One machine at work. The files of this folder share it; each part is driven by its own callbacks on the loop. */
struct supervisor {
	const struct machine_paths *paths;
	struct machine_record *record; /* of the start; its settings follow what is changed meanwhile */
	const char *agent;             /* path of annex-guest */
	const char *share_program;     /* path of annex-share */
	const char *network_program;   /* path of annex-network */
	char *socket;
	int lock; /* held until the end is told */
	bool foreground;

	struct loop *loop;
	struct loop_source *signals[SUPERVISOR_SIGNALS];
	struct loop_source *deadline; /* of the phase */
	struct loop_source *retry;    /* of a write to a full disk */
	struct clock *clock;
	uint64_t deadline_at; /* time_monotonic_ms() */
	enum supervisor_phase phase;

	enum machine_state state;
	char *waiting;               /* what the boot waits for, or NULL */
	struct annex_error *failure; /* why the machine is ending or has ended; NULL: it was asked to */
	bool panicked, reset;        /* the virtual machine was, before it ended */
	bool heard;                  /* its guest has said HELLO */
	unsigned notes;              /* that life_may_note() allowed */
	bool asked;                  /* somebody wants it to end */
	unsigned attempt;            /* which restart in a row this is; 0: none */
	unsigned next_attempt;       /* when finished: which one this process is to make of itself, holding the lock */
	uint64_t up_at;              /* time_monotonic_ms() when it was up; 0: not yet */
	bool finished;               /* the machine has ended and everyone was told */
	bool drained;                /* nobody is waited for any more */

	struct machine_plan plan;
	struct machine_run run;
	char *settings, *shared; /* JSON, for STATE */
	struct logfile *boot_log;
	struct qemu_vm *vm;
	struct shares *shares;
	struct network *network;
	struct resources *resources;
	struct console *console;
	struct guest *guest; /* NULL: no link */
	struct clients *clients;
	struct relay *relay;
	struct usage *usage;
	struct sessions *sessions;
};

/* Start the machine, after a while if this is a restart, and serve it until it has ended. A machine that fails is no
 * failure of this function, but of supervisor->failure; it fails when nobody could be served, and leaves *first_client
 * alone then. */
MUST_USE int supervisor_run(struct supervisor *supervisor, int *first_client, struct annex_error **err);
void supervisor_clear(struct supervisor *supervisor);

/* timeout_ms as in struct message_stop. */
void supervisor_stop(struct supervisor *supervisor, int64_t timeout_ms);
/* Wait no longer to start it again. */
void supervisor_start_now(struct supervisor *supervisor);
/* What clients are told; the texts are the supervisor's. */
void supervisor_describe(const struct supervisor *supervisor, struct message_state *ret);

/* Called by the guest's link. */
void supervisor_on_waiting(struct supervisor *supervisor, const char *what);
void supervisor_on_ready(struct supervisor *supervisor, const char *init);
void supervisor_on_halted(struct supervisor *supervisor, const struct message_halted *halted);
/* What the guest was asked for failed: before the machine is up that ends it, the guest powers off. */
void supervisor_on_guest_failure(struct supervisor *supervisor, const struct message_failure *failure);
/* The server of the shares is gone. */
void supervisor_on_broken_shares(struct supervisor *supervisor, const struct annex_error *why);
/* There is no network for it, which was to be there as it starts. */
void supervisor_on_broken_network(struct supervisor *supervisor, const struct annex_error *why);
/* What is shared, or a setting in effect, has changed: clients and the record of this run get to know. */
void supervisor_on_changed(struct supervisor *supervisor);
/* The guest broke the protocol; the link is gone. */
void supervisor_on_broken_guest(struct supervisor *supervisor, const char *what);

static inline unsigned supervisor_slowness(const struct supervisor *supervisor)
{
	return supervisor->plan.accel.slowness ? supervisor->plan.accel.slowness : 1;
}
