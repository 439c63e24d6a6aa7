/*
 * What the machine started with can be taken by a balloon, and what goes beyond comes by virtio-mem, block by block. A
 * balloon that the guest can't fill would keep it busy for ever, so it must have told before what it can do without;
 * and when either gets stuck, what was reached is made the goal.
 */
#include "supervisor/memory.h"

#include "base/time.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

#define MIB (1ull << 20)

enum moment { MEMORY_STILL, MEMORY_LOOKS, MEMORY_MOVES, MEMORY_SETTLES };

struct memory {
	struct supervisor *supervisor;
	memory_fn *fn;
	void *data;
	struct loop_source *look;
	enum moment moment;
	uint64_t base, growth;     /* what it started with, and what can come on top */
	uint64_t ballooned, added; /* what the balloon leaves of the first; what there is of the second */
	uint64_t goal_ballooned, goal_added;
	uint64_t left, left_at; /* the least that has been left to the goal, and since when: time_monotonic_ms() */
	uint64_t wanted, available;
};

static void look(struct memory *memory);

/* What a machine of that size is to have free. */
static uint64_t spare_for(uint64_t size)
{
	return MEMORY_SPARE + size / MEMORY_SPARE_PART;
}

bool memory_can_spare(uint64_t available, uint64_t before, uint64_t after)
{
	return after >= before || available >= before - after + spare_for(after);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static uint64_t now(const struct memory *memory)
{
	return memory->ballooned + memory->added;
}

uint64_t memory_most(const struct memory *memory)
{
	return memory->base + memory->growth;
}

static void end(struct memory *memory, uint64_t reached, const char *why)
{
	memory->moment = MEMORY_STILL;
	memory->fn(reached, why, memory->data);
}

static void execute(struct memory *memory, const char *command, json_t *arguments, qmp_reply_fn *fn)
{
	struct qemu_vm *vm = memory->supervisor->vm;
	int result = -ENOTCONN;

	if (vm && arguments)
		result = qemu_vm_execute(vm, command, arguments, fn, memory);
	else
		json_decref(arguments);
	if (result < 0)
		end(memory, 0, "QEMU can't be asked");
}

/* Moving. */

static void on_told(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct memory *memory = data;
	char reached[TEXT_SIZE_BUFFER], why[128];
	bool grows = memory->wanted > now(memory);

	(void)qmp;
	if (memory->moment == MEMORY_SETTLES) {
		snprintf(why, sizeof(why),
			 grows ? "the machine's kernel takes no more than %s (by virtio_mem)"
			       : "the machine's kernel gives back no more: it has %s (by virtio_balloon)",
			 text_from_size(reached, now(memory)));
		end(memory, now(memory), why);
	} else if (!result) {
		end(memory, 0, annex_error_message(err));
	} else {
		memory->moment = MEMORY_MOVES;
		memory->left = UINT64_MAX;
		loop_timer_restart(memory->look, MEMORY_LOOK_MS);
	}
}

static void tell_balloon(struct memory *memory)
{
	execute(memory, "balloon", json_pack("{s:I}", "value", (json_int_t)memory->goal_ballooned), on_told);
}

static void on_size_told(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct memory *memory = data;

	(void)qmp;
	if (result || memory->moment == MEMORY_SETTLES)
		tell_balloon(memory);
	else
		end(memory, 0, annex_error_message(err));
}

/* QEMU is told the goals. */
static void tell(struct memory *memory)
{
	if (memory->growth > 0)
		execute(memory, "qom-set",
			json_pack("{s:s, s:s, s:I}", "path", QEMU_PATH_GROWTH, "property", "requested-size", "value",
				  (json_int_t)memory->goal_added),
			on_size_told);
	else
		tell_balloon(memory);
}

/* Before anything moves. */
static void decide(struct memory *memory)
{
	uint64_t wanted = round_up(memory->wanted, MIB);
	char in_use[TEXT_SIZE_BUFFER], more[TEXT_SIZE_BUFFER], why[128];

	if (!memory_can_spare(memory->available, now(memory), wanted)) {
		uint64_t used = now(memory) > memory->available ? now(memory) - memory->available : now(memory);

		snprintf(why, sizeof(why), "%s are in use in the machine, and to go on it needs %s more",
			 text_from_size(in_use, used), text_from_size(more, spare_for(wanted)));
		end(memory, 0, why);
		return;
	}
	memory->goal_ballooned = wanted < memory->base ? wanted : memory->base;
	memory->goal_added = wanted > memory->base ? round_up(wanted - memory->base, QEMU_GROWTH_UNIT) : 0;
	tell(memory);
}

static uint64_t distance(uint64_t from, uint64_t to)
{
	return from < to ? to - from : from - to;
}

/* Only what comes nearer moves: a guest could go to and fro for ever. */
static void go_on(struct memory *memory)
{
	uint64_t still_ms = time_scaled_ms(MEMORY_STILL_MS, supervisor_slowness(memory->supervisor));
	uint64_t left =
		distance(memory->ballooned, memory->goal_ballooned) + distance(memory->added, memory->goal_added);

	if (left < memory->left) {
		memory->left = left;
		memory->left_at = time_monotonic_ms();
	}
	if (left == 0) {
		end(memory, memory->wanted, NULL);
	} else if (time_monotonic_ms() - memory->left_at <= still_ms) {
		loop_timer_restart(memory->look, MEMORY_LOOK_MS);
	} else {
		memory->moment = MEMORY_SETTLES;
		memory->goal_ballooned = memory->ballooned;
		memory->goal_added = memory->added;
		tell(memory);
	}
}

/* Looking. */

static void on_balloon(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct memory *memory = data;
	json_int_t actual = json_integer_value(json_object_get(result, "actual"));

	(void)qmp;
	if (actual <= 0) {
		end(memory, 0, err ? annex_error_message(err) : "QEMU has no balloon");
		return;
	}
	memory->ballooned = (uint64_t)actual;
	if (memory->moment == MEMORY_LOOKS)
		decide(memory);
	else
		go_on(memory);
}

static void on_size(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct memory *memory = data;

	(void)qmp;
	if (!json_is_integer(result)) {
		end(memory, 0, err ? annex_error_message(err) : "QEMU does not tell its memory");
		return;
	}
	memory->added = (uint64_t)json_integer_value(result);
	execute(memory, "query-balloon", json_object(), on_balloon);
}

static void look(struct memory *memory)
{
	if (memory->growth > 0)
		execute(memory, "qom-get", json_pack("{s:s, s:s}", "path", QEMU_PATH_GROWTH, "property", "size"),
			on_size);
	else
		execute(memory, "query-balloon", json_object(), on_balloon);
}

static void on_look(struct loop_source *source, void *data)
{
	struct memory *memory = data;

	(void)source;
	if (memory->moment == MEMORY_MOVES)
		look(memory);
}

void memory_change(struct memory *memory, uint64_t wanted, uint64_t available)
{
	memory->moment = MEMORY_LOOKS;
	memory->wanted = wanted;
	memory->available = available;
	look(memory);
}

int memory_new(struct memory **ret, struct supervisor *supervisor, memory_fn *fn, void *data, struct annex_error **err)
{
	const struct qemu_config *config = &supervisor->plan.qemu;
	struct memory *memory = calloc(1, sizeof(*memory));
	int result;

	if (!memory)
		return fail_memory(err);
	*memory = (struct memory){.supervisor = supervisor,
				  .fn = fn,
				  .data = data,
				  .base = round_up(config->memory, MIB),
				  .growth = config->growth};
	result = loop_add_timer(&memory->look, supervisor->loop, UINT64_MAX, on_look, memory);
	if (result < 0) {
		free(memory);
		return fail_os(err, result, "cannot prepare to run");
	}
	*ret = memory;
	return 0;
}

void memory_free(struct memory *memory)
{
	if (!memory)
		return;
	loop_source_free(memory->look);
	free(memory);
}
