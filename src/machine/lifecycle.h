#pragma once
#include <stdbool.h>

/* The values are those of enum annex_machine_state, and travel in MESSAGE_STATE. */
enum machine_state {
	MACHINE_STOPPED,
	MACHINE_STARTING, /* QEMU spawned, QMP handshake under way */
	MACHINE_BOOTING,  /* vCPUs run, the guest has not said READY */
	MACHINE_RUNNING,
	MACHINE_STOPPING,
	MACHINE_FAILED,
	MACHINE_RESTARTING, /* it ended, and waits to be started again */
	MACHINE_STATE_COUNT,
};

enum machine_event {
	MACHINE_START,
	MACHINE_QMP_READY,   /* the processors run */
	MACHINE_AGENT_READY, /* the guest said READY */
	MACHINE_REBOOTED,    /* the guest's init starts anew, or the virtual machine was reset */
	MACHINE_STOP,        /* somebody asked */
	MACHINE_BROKE,       /* panic, protocol violation, a deadline passed: it is ended, and the reason kept */
	MACHINE_GUEST_OFF,   /* the guest powers itself off */
	MACHINE_QEMU_EXITED,
	MACHINE_RETRY, /* it is to be started again, after a while */
	MACHINE_EVENT_COUNT,
};

const char *machine_state_name(enum machine_state state);

/* The whole lifecycle in one place; false means that the event is not allowed in this state. Ending because of
 * MACHINE_BROKE passes through STOPPING too: whether it ends as FAILED is up to who keeps the reason. */
bool machine_next_state(enum machine_state *state, enum machine_event event);
