#include "machine/lifecycle.h"

#include "base/cleanup.h"

#include <assert.h>

static const char *const names[] = {
	[MACHINE_STOPPED] = "stopped", [MACHINE_STARTING] = "starting", [MACHINE_BOOTING] = "booting",
	[MACHINE_RUNNING] = "running", [MACHINE_STOPPING] = "stopping", [MACHINE_FAILED] = "failed",
};
static_assert(COUNT_OF(names) == MACHINE_STATE_COUNT, "a state has no name");

static const struct {
	enum machine_state from;
	enum machine_event event;
	enum machine_state to;
} transitions[] = {
	{MACHINE_STOPPED, MACHINE_START, MACHINE_STARTING},
	{MACHINE_FAILED, MACHINE_START, MACHINE_STARTING},
	{MACHINE_STARTING, MACHINE_QMP_READY, MACHINE_BOOTING},
	{MACHINE_BOOTING, MACHINE_AGENT_READY, MACHINE_RUNNING},
	{MACHINE_RUNNING, MACHINE_REBOOTED, MACHINE_BOOTING},
	{MACHINE_BOOTING, MACHINE_REBOOTED, MACHINE_BOOTING},
	{MACHINE_STARTING, MACHINE_STOP, MACHINE_STOPPING},
	{MACHINE_BOOTING, MACHINE_STOP, MACHINE_STOPPING},
	{MACHINE_RUNNING, MACHINE_STOP, MACHINE_STOPPING},
	{MACHINE_STOPPING, MACHINE_STOP, MACHINE_STOPPING}, /* a shorter deadline */
	{MACHINE_STARTING, MACHINE_BROKE, MACHINE_STOPPING},
	{MACHINE_BOOTING, MACHINE_BROKE, MACHINE_STOPPING},
	{MACHINE_RUNNING, MACHINE_BROKE, MACHINE_STOPPING},
	{MACHINE_STOPPING, MACHINE_BROKE, MACHINE_STOPPING},
	{MACHINE_BOOTING, MACHINE_GUEST_OFF, MACHINE_STOPPING},
	{MACHINE_RUNNING, MACHINE_GUEST_OFF, MACHINE_STOPPING},
	{MACHINE_STOPPING, MACHINE_GUEST_OFF, MACHINE_STOPPING},
	{MACHINE_STARTING, MACHINE_QEMU_EXITED, MACHINE_FAILED},
	{MACHINE_BOOTING, MACHINE_QEMU_EXITED, MACHINE_FAILED},
	{MACHINE_RUNNING, MACHINE_QEMU_EXITED, MACHINE_FAILED},
	{MACHINE_STOPPING, MACHINE_QEMU_EXITED, MACHINE_STOPPED},
};

const char *machine_state_name(enum machine_state state)
{
	return names[state];
}

bool machine_next_state(enum machine_state *state, enum machine_event event)
{
	for (size_t i = 0; i < COUNT_OF(transitions); i++) {
		if (transitions[i].from == *state && transitions[i].event == event) {
			*state = transitions[i].to;
			return true;
		}
	}
	return false;
}
